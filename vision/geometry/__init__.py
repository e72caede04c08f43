"""From pixels to metres: cameras, how they are mounted, the ground, distance and time to collision.

Coordinates on the ground are metres from the point below the camera: `forward`, and `left` (a driver's left hand is
positive), as ROS has them (REP 103). Angles of a mounting are degrees.
"""

from vision.geometry.birdseye import BirdsEye
from vision.geometry.calibrate import Board, Calibrated, calibrate
from vision.geometry.camera import Camera, Undistorted
from vision.geometry.closing import Closing, time_to_collision
from vision.geometry.distance import SIZES, Estimate, Size, by_foot, by_size, combined
from vision.geometry.ground import Ground
from vision.geometry.mounting import Mounting
from vision.geometry.setup import Setup, read_setup, write_setup

__all__ = [
    "SIZES", "BirdsEye", "Board", "Calibrated", "Camera", "Closing", "Estimate", "Ground", "Mounting", "Setup", "Size",
    "Undistorted", "by_foot", "by_size", "calibrate", "combined", "read_setup", "time_to_collision", "write_setup",
]
