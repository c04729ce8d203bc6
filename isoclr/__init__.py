"""Embed, train, evaluate and share RNA isoform encoders.

After `import isoclr` the Auto classes of transformers know the models without
`trust_remote_code`. The import itself loads neither torch nor transformers.
"""

from isoclr.registration import register_with_transformers

__version__ = "0.2.0"

register_with_transformers()
