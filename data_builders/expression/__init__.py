"""Bulk expression matrices: reading, units, and one file format."""
