"""The model: exactly the files that a Hub repo carries, and their registration with transformers.

Needs torch, transformers and numpy only. Importing it registers the Auto classes and the pipeline
`isoform-embedding`.
"""

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

AutoConfig.register("isoclr", IsoCLRConfig)
AutoTokenizer.register(IsoCLRConfig, slow_tokenizer_class=IsoCLRTokenizer)

# What is saved carries its own code, so that it loads where this package is not installed.
IsoCLRConfig.register_for_auto_class()
IsoCLRTokenizer.register_for_auto_class("AutoTokenizer")
for _auto_class, _model_class in (
    (AutoModel, IsoCLRModel),
    (AutoModelForPreTraining, IsoCLRForPreTraining),
    (AutoModelForMaskedLM, IsoCLRForMaskedLM),
    (AutoModelForSequenceClassification, IsoCLRForSequenceClassification),
    (AutoModelForTokenClassification, IsoCLRForTokenClassification),
):
    _auto_class.register(IsoCLRConfig, _model_class)
    _model_class.register_for_auto_class(_auto_class.__name__)

AutoConfig.register(ExpressionConfig.model_type, ExpressionConfig)
AutoProcessor.register(ExpressionConfig, ExpressionProcessor)
ExpressionConfig.register_for_auto_class()
ExpressionProcessor.register_for_auto_class("AutoProcessor")
for _auto_class, _model_class in (
    (AutoModel, ExpressionModel),
    (AutoModelForPreTraining, ExpressionForPreTraining),
    (AutoModelForSequenceClassification, ExpressionForSequenceClassification),
):
    _auto_class.register(ExpressionConfig, _model_class)
    _model_class.register_for_auto_class(_auto_class.__name__)

AutoConfig.register(RPIConfig.model_type, RPIConfig)
AutoProcessor.register(RPIConfig, RPIProcessor)
RPIConfig.register_for_auto_class()
RPIProcessor.register_for_auto_class("AutoProcessor")
for _auto_class, _model_class in (
    (AutoModel, RPIModel),
    (AutoModelForSequenceClassification, RPIForSequenceClassification),
):
    _auto_class.register(RPIConfig, _model_class)
    _model_class.register_for_auto_class(_auto_class.__name__)

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
