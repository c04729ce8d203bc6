"""Contrastive learning on pairs of isoforms and homologs (IsoCLR)."""
