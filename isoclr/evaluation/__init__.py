"""What an embedding is worth: baselines, splits by homology, linear probes and their figures."""
