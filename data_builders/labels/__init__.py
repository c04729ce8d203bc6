"""Measured properties of transcripts, and splits of them."""
