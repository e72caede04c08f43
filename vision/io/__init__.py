"""Sources: `read` a file, folder, glob, URL, camera or standard input.

A name is loaded when it is first used, so that importing this package costs next to nothing.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)          # the names: __init__.pyi
