"""The model: exactly the files that a Hub repo carries, and their registration with transformers.

Needs torch, transformers and numpy only. Importing it registers the Auto classes and the pipeline
`isoform-embedding`.
"""

from typing import Any

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_expression import ExpressionConfig
from .configuration_isoclr import IsoCLRConfig
from .configuration_rpi import RPIConfig
from .losses_isoclr import (
    LOSS_FORMS,
    contrastive_loss,
    contrastive_loss_and_accuracy,
    pair_accuracy,
    supervised_loss,
    transcript_count_weights,
)
from .modeling_expression import (
    ExpressionForPreTraining,
    ExpressionForSequenceClassification,
    ExpressionModel,
    cox_loss,
)
from .modeling_isoclr import (
    IsoCLRForMaskedLM,
    IsoCLRForPreTraining,
    IsoCLRForSequenceClassification,
    IsoCLRForTokenClassification,
    IsoCLRModel,
)
from .modeling_rpi import RPIForSequenceClassification, RPIModel
from .pipeline_isoclr import IsoformEmbeddingPipeline
from .processing_expression import ExpressionProcessor, GeneReport
from .processing_rpi import RPIProcessor
from .tokenization_isoclr import IsoCLRTokenizer, longest_orf


def _register(config: Any, *classes: tuple[Any, Any]) -> None:
    """Register a configuration and its models, each at its Auto class.

    What is saved carries its own code, so that it loads where this package is not installed.
    """
    AutoConfig.register(config.model_type, config)
    config.register_for_auto_class()
    for auto_class, model_class in classes:
        auto_class.register(config, model_class)
        model_class.register_for_auto_class(auto_class.__name__)


_register(
    IsoCLRConfig,
    (AutoModel, IsoCLRModel),
    (AutoModelForPreTraining, IsoCLRForPreTraining),
    (AutoModelForMaskedLM, IsoCLRForMaskedLM),
    (AutoModelForSequenceClassification, IsoCLRForSequenceClassification),
    (AutoModelForTokenClassification, IsoCLRForTokenClassification),
)
AutoTokenizer.register(IsoCLRConfig, slow_tokenizer_class=IsoCLRTokenizer)
IsoCLRTokenizer.register_for_auto_class("AutoTokenizer")

_register(
    ExpressionConfig,
    (AutoModel, ExpressionModel),
    (AutoModelForPreTraining, ExpressionForPreTraining),
    (AutoModelForSequenceClassification, ExpressionForSequenceClassification),
)
AutoProcessor.register(ExpressionConfig, ExpressionProcessor)
ExpressionProcessor.register_for_auto_class("AutoProcessor")

_register(
    RPIConfig,
    (AutoModel, RPIModel),
    (AutoModelForSequenceClassification, RPIForSequenceClassification),
)
AutoProcessor.register(RPIConfig, RPIProcessor)
RPIProcessor.register_for_auto_class("AutoProcessor")

PIPELINE_REGISTRY.register_pipeline(
    "isoform-embedding", pipeline_class=IsoformEmbeddingPipeline, pt_model=AutoModel, type="text"
)

__all__ = [
    "LOSS_FORMS",
    "ExpressionConfig",
    "ExpressionForPreTraining",
    "ExpressionForSequenceClassification",
    "ExpressionModel",
    "ExpressionProcessor",
    "GeneReport",
    "IsoCLRConfig",
    "IsoCLRForMaskedLM",
    "IsoCLRForPreTraining",
    "IsoCLRForSequenceClassification",
    "IsoCLRForTokenClassification",
    "IsoCLRModel",
    "IsoCLRTokenizer",
    "IsoformEmbeddingPipeline",
    "RPIConfig",
    "RPIForSequenceClassification",
    "RPIModel",
    "RPIProcessor",
    "contrastive_loss",
    "contrastive_loss_and_accuracy",
    "cox_loss",
    "longest_orf",
    "pair_accuracy",
    "supervised_loss",
    "transcript_count_weights",
]
