"""Annotation, homology and labels to datasets. Never imports torch."""
