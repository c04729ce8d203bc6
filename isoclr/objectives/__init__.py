"""What train.py can train."""
