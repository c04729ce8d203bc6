"""Where the model lies that the repository ships."""

from pathlib import Path

SHIPPED_MODEL = Path(__file__).resolve().parents[1] / "model_cards" / "isoclr-small"
"""A complete model folder of the checkout that this package runs from; a wheel has none."""
