"""Show how far a long step is: see `data_builders.progress`, which this passes on."""

from data_builders.progress import Progress, print_above, progress, quiet_libraries

__all__ = ["Progress", "print_above", "progress", "quiet_libraries"]
