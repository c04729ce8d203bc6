"""Contrastive learning on homologs of any alphabet: what evolution kept is what two views share."""
