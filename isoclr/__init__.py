"""Embed, train, evaluate and share RNA isoform encoders. Importing it registers Auto classes."""

import modeling_isoclr  # noqa: F401  registers the Auto classes

__version__ = "0.1.0"
