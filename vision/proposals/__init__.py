"""Where objects may be: boxes without names, for detectors that classify regions."""

from vision.proposals.search import SelectiveSearch

__all__ = ["SelectiveSearch"]
