"""The model: exactly the files that a Hub repo carries, and their registration with transformers.

Needs torch, transformers and numpy only. Importing it registers the Auto classes.
"""

from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, AutoTokenizer

from .configuration_isoclr import IsoCLRConfig
from .losses_isoclr import (
    LOSS_FORMS,
    contrastive_loss,
    pair_accuracy,
    transcript_count_weights,
)
from .modeling_isoclr import IsoCLRForPreTraining, IsoCLRModel
from .tokenization_isoclr import IsoCLRTokenizer

AutoConfig.register("isoclr", IsoCLRConfig)
AutoModel.register(IsoCLRConfig, IsoCLRModel)
AutoModelForPreTraining.register(IsoCLRConfig, IsoCLRForPreTraining)
AutoTokenizer.register(IsoCLRConfig, slow_tokenizer_class=IsoCLRTokenizer)

# What is saved carries its own code, so that it loads where this package is not installed.
IsoCLRConfig.register_for_auto_class()
IsoCLRModel.register_for_auto_class("AutoModel")
IsoCLRForPreTraining.register_for_auto_class("AutoModelForPreTraining")
IsoCLRTokenizer.register_for_auto_class("AutoTokenizer")

__all__ = [
    "LOSS_FORMS",
    "IsoCLRConfig",
    "IsoCLRForPreTraining",
    "IsoCLRModel",
    "IsoCLRTokenizer",
    "contrastive_loss",
    "pair_accuracy",
    "transcript_count_weights",
]
