"""Which genes are homologous, and how far species are from each other."""
