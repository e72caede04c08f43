"""Tracking: many objects (`Tracker`), one chosen object (`follow`), and counts (`count`)."""

from vision.tracking.tracker import METHODS, Method, Tracker

__all__ = ["METHODS", "Method", "Tracker"]
