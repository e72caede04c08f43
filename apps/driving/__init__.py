"""A drive, watched: `python -m apps.driving SOURCE`."""
