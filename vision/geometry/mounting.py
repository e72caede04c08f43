"""How a camera is mounted: how high, and where it looks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.geometry.camera import Camera, Points


@dataclass(frozen=True)
class Mounting:
    """Where a camera stands and looks, with how well that is known.

    height: metres above the ground.
    pitch: degrees that it looks below the horizontal. roll: degrees that it is turned clockwise, as it looks.
    yaw: degrees that it looks to the left of where the vehicle goes.
    height_error, pitch_error, roll_error: one standard deviation of each, in the same units: what is wrong all the
        time.
    bounce: degrees, one standard deviation, by which the pitch differs from one frame to the next.

    Raises UsageError for a camera below the ground, upside down, or that looks up or down so far that it cannot see
    where it goes.
    """

    height: float
    pitch: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    height_error: float = 0.05
    pitch_error: float = 0.5
    roll_error: float = 0.5
    bounce: float = 0.3

    def __post_init__(self) -> None:
        numbers = (self.height, self.pitch, self.roll, self.yaw, *self.errors, self.bounce)
        if not np.isfinite(numbers).all() or self.height <= 0:
            raise UsageError(f"a camera is mounted above the ground, in metres: height above 0; got {self.height}.")
        if abs(self.roll) > 90:
            raise UsageError(f"a camera with a roll of {self.roll:g} degrees is upside down. Turn the frames first "
                             "(a video's own rotation is applied when it is read), and give what is left.")
        if abs(self.pitch) >= 80 or abs(self.yaw) >= 80:
            raise UsageError(f"a camera that looks ahead has a pitch and a yaw below 80 degrees; got {self.pitch:g} "
                             f"and {self.yaw:g}.")
        if min(*self.errors, self.bounce) < 0:
            raise UsageError("the errors of a mounting are standard deviations, 0 or more.")

    @property
    def errors(self) -> tuple[float, float, float]:
        """Standard deviations of height, pitch and roll."""
        return self.height_error, self.pitch_error, self.roll_error

    @property
    def rotation(self) -> Points:
        """(3,3): turns forward, left, up of the vehicle into right, down, ahead of the camera."""
        pitch, roll, yaw = np.radians((self.pitch, self.roll, self.yaw))
        axes = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], np.float64)           # level and straight ahead
        heading = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        tilt = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        return np.asarray(tilt @ nod @ axes @ heading, np.float64)

    @classmethod
    def from_vanishing_point(
        cls, camera: Camera, point: npt.ArrayLike, height: float, *, roll: float = 0.0, pixel_error: float = 3.0
    ) -> Mounting:
        """The mounting for which lines that run straight ahead meet at a point of the frame.

        point: (x, y) in frame pixels: where the lines of a straight lane meet. height: metres. roll: degrees.
        pixel_error: one standard deviation of the point, which becomes that of the pitch."""
        turned = camera.rays(np.reshape(np.asarray(point, np.float64), (1, 2)))[0]
        if not np.isfinite(turned).all():
            where = np.round(np.asarray(point, np.float64), 1).tolist()
            raise UsageError(f"the vanishing point {where} is none that this camera can see.")
        angle = np.radians(roll)
        x, y = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ turned
        pitch, yaw = -np.degrees(np.arctan(y)), np.degrees(np.arctan2(x, np.hypot(1.0, y)))
        error = float(np.degrees(pixel_error / camera.focal[1]))
        return cls(height, float(pitch), roll, float(yaw), pitch_error=error)

    def nodded(self, degrees: float) -> Mounting:
        """The same camera while it looks so many `degrees` further down."""
        return replace(self, pitch=self.pitch + degrees)
