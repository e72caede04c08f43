"""Data sets on disk, for training and for measuring. Nothing here imports torch."""
