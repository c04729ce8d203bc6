"""The probe's metrics as `evaluate` modules: `evaluate.load(isoclr.metrics.REGRESSION)`.

Folders of one script each, which load without a network.
"""

from pathlib import Path

REGRESSION = str(Path(__file__).with_name("isoclr_regression"))
CLASSIFICATION = str(Path(__file__).with_name("isoclr_classification"))
