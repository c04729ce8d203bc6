"""Supervised learning of which RNAs and proteins interact."""
