"""Faces: finding them, their points, and what follows from the points. Knows engines, no task."""
