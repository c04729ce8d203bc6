"""Self-supervised learning on bulk expression: SCARF, VIME, BYOL, denoising, halves."""
