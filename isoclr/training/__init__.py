"""What train.py is made of: recipe, pairs, micro-batches, processes, checkpoints."""
