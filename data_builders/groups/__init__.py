"""Transcripts to a dataset of isoform groups."""
