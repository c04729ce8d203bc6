"""Annotation files to transcripts."""
