"""A camera, and what the models see in it: in a window (`window.py`) or in a browser (`browser.py`)."""
