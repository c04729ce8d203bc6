"""Model and dataset cards, and the way to the Hub."""
