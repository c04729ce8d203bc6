"""Show how far a long step is: see `data_builders.progress`, which this passes on."""

from data_builders.progress import Progress, be_quiet, print_above, progress, quiet_libraries

__all__ = ["Progress", "be_quiet", "print_above", "progress", "quiet_libraries"]
