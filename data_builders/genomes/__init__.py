"""Genome files, chromosome aliases, the species registry and its downloads."""
