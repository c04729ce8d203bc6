"""RNA–protein pairs: reading, clusters of sequences, negatives, splits, and one dataset format."""
