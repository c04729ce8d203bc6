"""The page of `isoclr app`: transcripts, RNA–protein pairs and expression in a browser."""
