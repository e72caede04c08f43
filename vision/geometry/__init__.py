"""From pixels to metres: cameras, how they are mounted, the ground, distance and time to collision.

Coordinates on the ground are metres from the point below the camera: `forward`, and `left` (a driver's left hand is
positive), as ROS has them (REP 103). Angles of a mounting are degrees.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)          # the names: __init__.pyi
