"""Configuration of the encoders of bulk expression."""

from typing import TYPE_CHECKING

from transformers import PretrainedConfig

AUTO_MAP = {
    "AutoConfig": "configuration_expression.ExpressionConfig",
    "AutoModel": "modeling_expression.ExpressionModel",
    "AutoModelForPreTraining": "modeling_expression.ExpressionForPreTraining",
    "AutoModelForSequenceClassification": (
        "modeling_expression.ExpressionForSequenceClassification"
    ),
}

METHODS = ("scarf", "vime", "byol", "denoising", "halves")


class ExpressionConfig(PretrainedConfig):
    """Describe an encoder of expression profiles and how it is pre-trained.

    The defaults are the encoder and SCARF of Dradjat et al. (Bioinformatics 41(11), btaf533).

    Args:
        n_genes: genes of a profile.
        hidden_size: width of every hidden layer, and of the embedding.
        num_hidden_layers: layers of Linear, batch norm, ReLU, dropout.
        bottleneck_size: width of a linear layer before the first; 0: none.
        dropout: after each layer, in training.
        norm_momentum: of the running statistics of batch norms.
        method: how it is pre-trained: scarf, vime, byol, denoising or halves.
        contrast_temperature: of the contrast of scarf and halves.
        head_sizes: hidden and output width of the projection; of byol's predictor too.
        value_weight: of vime's squared error of values beside the cross-entropy of its mask.
        target_decay: of byol's target network, a step.
        classifier_dropout: before a classifier.
        num_labels, problem_type, ...: as for every configuration; problem_type may be survival.
    """

    model_type = "isoclr_expression"

    if TYPE_CHECKING:  # transformers 5 would make fields of annotations
        num_labels: int
        problem_type: str | None = None

    def __init__(
        self,
        n_genes=1000,
        hidden_size=256,
        num_hidden_layers=4,
        bottleneck_size=0,
        dropout=0.2,
        norm_momentum=0.1,
        method="scarf",
        contrast_temperature=1.0,
        head_sizes=(256, 256),
        value_weight=2.0,
        target_decay=0.9,
        classifier_dropout=0.0,
        **kwargs,
    ):
        # transformers knows three kinds; the fourth, survival, is ours.
        problem_type = kwargs.pop("problem_type", None)
        survival = problem_type == "survival"
        kwargs["auto_map"] = dict(AUTO_MAP)  # one repository serves every Auto class
        super().__init__(problem_type=None if survival else problem_type, **kwargs)
        if survival:
            self.problem_type = problem_type
        self.n_genes = n_genes
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.bottleneck_size = bottleneck_size
        self.dropout = dropout
        self.norm_momentum = norm_momentum
        self.method = method
        self.contrast_temperature = contrast_temperature
        self.head_sizes = list(head_sizes)
        self.value_weight = value_weight
        self.target_decay = target_decay
        self.classifier_dropout = classifier_dropout
        self._check()

    def _check(self):
        for name, least in (
            ("n_genes", 1),
            ("hidden_size", 1),
            ("num_hidden_layers", 1),
            ("bottleneck_size", 0),
        ):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(
                    f"{name}: got {value!r}, wanted a whole number of at least {least}"
                )
        for name in ("dropout", "classifier_dropout", "target_decay", "norm_momentum"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value <= 1 or value != value:
                raise ValueError(f"{name}: got {value!r}, wanted a number from 0 to 1")
        if self.method not in METHODS:
            raise ValueError(f"method: got {self.method!r}, wanted one of {', '.join(METHODS)}")
        if not self.contrast_temperature > 0:
            raise ValueError(
                f"contrast_temperature: got {self.contrast_temperature!r}, wanted a number above 0"
            )
        sizes = self.head_sizes
        if len(sizes) != 2 or any(type(size) is not int or size < 1 for size in sizes):
            raise ValueError(f"head_sizes: got {sizes!r}, wanted two whole numbers above 0")
