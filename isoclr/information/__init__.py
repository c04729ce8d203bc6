"""How much two homologs say about each other: bounds of critics, and channels of known truth."""
