"""The ground as a plane: pixels to metres and back, with how far off that may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.geometry.camera import Camera, Points
from vision.geometry.mounting import Mounting

_FLAT = 0.02                                     # of the points' extent: a triangle of three that is lower is a line


@dataclass(frozen=True, eq=False)
class Ground:
    """The plane that a camera stands on. Make one with `of`, from a camera and its mounting, or with `from_points`.

    size_wh: pixels of the frames.
    homography: (3,3): rays, or pixels where there is no camera, to forward, left, 1; its third row is positive below
        the horizon.
    varied: (K,3,3): the same with one of the things that it was made from off by one standard deviation each.
    bounced: (3,3) or None: the same while the camera nods by one standard deviation.
    camera: whose rays they are; None: pixels themselves. mounting: where it came from one.
    """

    size_wh: tuple[int, int]
    homography: Points
    varied: Points
    bounced: Points | None = None
    camera: Camera | None = None
    mounting: Mounting | None = None

    @classmethod
    def of(cls, camera: Camera, mounting: Mounting) -> Ground:
        """The ground below a camera. Raises UsageError where the whole picture lies above the horizon."""
        errors = ("height", "pitch", "roll")
        varied = [
            _plane(replace(mounting, **{name: getattr(mounting, name) + error}))
            for name, error in zip(errors, mounting.errors, strict=True)
        ]
        made = cls(camera.size_wh, _plane(mounting), np.array(varied), _plane(mounting.nodded(mounting.bounce)),
                   camera, mounting)
        width, height = camera.size_wh
        if not (made.inverse([[width / 2, height]]) > 0).all():
            raise UsageError(f"the horizon lies below the picture: with a pitch of {mounting.pitch:g} degrees (positive"
                             f": looking down) a camera that sees {camera.view:.0f} degrees across sees no ground.")
        return made

    @classmethod
    def from_points(
        cls, size_wh: tuple[int, int], image: npt.ArrayLike, metres: npt.ArrayLike, *, pixel_error: float = 2.0,
        camera: Camera | None = None,
    ) -> Ground:
        """The ground through four points.

        size_wh: pixels of the frames. image: (4,2) xy in frame pixels. metres: (4,2) forward and left of each.
        pixel_error: one standard deviation of each coordinate. camera: whose distortion is taken out first.
        Raises UsageError where three of the points lie on a line, or where they are seen from below."""
        seen, true = (np.asarray(points, np.float64).reshape(-1, 2) for points in (image, metres))
        if seen.shape != (4, 2) or true.shape != (4, 2) or not np.isfinite([seen, true]).all():
            raise UsageError(f"the ground takes four points, each in pixels and in metres; got {len(seen)} and "
                             f"{len(true)}.")
        for points, what in ((seen, "in the picture"), (true, "on the ground")):
            three = _on_a_line(points)
            if three is not None:
                raise UsageError(f"points {', '.join(str(i + 1) for i in three)} lie on a line {what}: four corners of "
                                 "a rectangle on the ground do, say of a lane between two dashes.")
        moved = [seen]
        for k in range(8):
            other = seen.copy()
            other.flat[k] += pixel_error
            moved.append(other)
        found = [_through(camera.rays(points) if camera else points, true) for points in moved]
        return cls(size_wh, found[0], np.array(found[1:]), None, camera)

    def scaled(self, size_wh: tuple[int, int]) -> Ground:
        """The same ground in frames of another size and the same aspect. Raises UsageError for another aspect."""
        if size_wh == self.size_wh:
            return self
        if self.camera is not None:
            return replace(self, size_wh=size_wh, camera=self.camera.scaled(size_wh))
        Camera(self.size_wh, self.size_wh, (0, 0)).scaled(size_wh)                 # the same aspect
        back = np.diag([self.size_wh[0] / size_wh[0], self.size_wh[1] / size_wh[1], 1])
        return replace(self, size_wh=size_wh, homography=self.homography @ back, varied=self.varied @ back)

    def metres(self, points: npt.ArrayLike) -> Points:
        """Where pixels lie on the ground: (N,2) xy in frame pixels -> (N,2) forward and left in metres; not a number
        at the horizon and above it."""
        flat = self._rays(points) @ self.homography.T
        return np.asarray(flat[:, :2] / np.where(flat[:, 2:] > 1e-12, flat[:, 2:], np.nan), np.float64)

    def guessed(self, points: npt.ArrayLike) -> Points:
        """As `metres`; where a lens's distortion says nothing of a pixel, as in the corners that no board reached, what
        the same lens without distortion would say."""
        known = self.metres(points)
        if self.camera is None or not np.isnan(known).any():
            return known
        straight = replace(self, camera=replace(self.camera, distortion=()))
        return np.where(np.isnan(known), straight.metres(points), known)

    def pixels(self, metres: npt.ArrayLike) -> Points:
        """The inverse of `metres`: (N,2) -> (N,2) xy in frame pixels, not cut to the frame; not a number for what lies
        behind the camera, or so far aside that its lens says nothing of it."""
        given = np.asarray(metres, np.float64).reshape(-1, 2)
        rays = np.column_stack([given, np.ones(len(given))]) @ np.linalg.inv(self.homography).T
        rays = rays[:, :2] / np.where(rays[:, 2:] > 1e-12, rays[:, 2:], np.nan)
        return self.camera.pixels(rays) if self.camera is not None else np.asarray(rays, np.float64)

    def inverse(self, points: npt.ArrayLike) -> Points:
        """(N,) one over the distance ahead, in 1/m: what a row of the picture measures, and what errors are even in.
        0 at the horizon, negative above it."""
        return _inverse(self._rays(points), self.homography)

    def inverse_errors(self, points: npt.ArrayLike, pixel_error: npt.ArrayLike = 1.0) -> tuple[Points, Points]:
        """Standard deviations of `inverse`: (N,) of what is wrong all the time (mounting, reference points), and (N,)
        of what differs from frame to frame (bounce, pixels).

        pixel_error: one standard deviation of the points, in pixels: a number or (N,)."""
        at = np.asarray(points, np.float64).reshape(-1, 2)
        rays = self._rays(at)
        here = _inverse(rays, self.homography)
        lasting = np.sqrt(sum(((_inverse(rays, one) - here) ** 2 for one in self.varied), np.zeros(len(at))))
        slope = _inverse(self._rays(at + np.array([0.0, 1.0])), self.homography) - here
        passing = (slope * np.asarray(pixel_error, np.float64)) ** 2
        if self.bounced is not None:
            passing = passing + (_inverse(rays, self.bounced) - here) ** 2
        return lasting, np.sqrt(passing)

    def errors(self, points: npt.ArrayLike, pixel_error: float = 1.0) -> Points:
        """(N,2): standard deviations of `metres`, forward and left: of all causes together, to first order.

        points: (N,2) xy in frame pixels. pixel_error: one standard deviation of each coordinate, in pixels."""
        at = np.asarray(points, np.float64).reshape(-1, 2)
        rays, here = self._rays(at), self.metres(at)
        others = [*self.varied, *([] if self.bounced is None else [self.bounced])]
        total = np.zeros_like(here)
        for one in others:
            flat = rays @ one.T
            total += (flat[:, :2] / np.where(flat[:, 2:] > 1e-12, flat[:, 2:], np.nan) - here) ** 2
        for step in ((0.5, 0.0), (0.0, 0.5)):
            slope = self.metres(at + np.array(step)) - self.metres(at - np.array(step))
            total += (slope * pixel_error) ** 2
        return np.sqrt(total)

    def horizon(self, x: float | None = None) -> float:
        """The row of the horizon in frame pixels, at a column (the middle one unless given)."""
        width, height = self.size_wh
        column = width / 2 if x is None else x
        rows = np.linspace(-2 * height, 3 * height, 2001)
        below = self.inverse(np.column_stack([np.full(len(rows), column), rows])) > 0
        return float(rows[np.argmax(below)]) if below.any() else float("inf")

    def _rays(self, points: npt.ArrayLike) -> Points:
        """(N,3)."""
        given = np.asarray(points, np.float64).reshape(-1, 2)
        rays = self.camera.rays(given) if self.camera is not None else given
        return np.column_stack([rays, np.ones(len(rays))])


def _plane(mounting: Mounting) -> Points:
    """(3,3) from rays to forward, left, 1."""
    forward, left, up = mounting.rotation.T                      # of the vehicle, in the camera's axes
    return np.array([mounting.height * forward, mounting.height * left, -up])


def _inverse(rays: Points, homography: Points) -> Points:
    """(N,) third over first coordinate: of what is ahead."""
    flat = rays @ homography.T
    ahead = np.where(flat[:, 0] > 1e-12, flat[:, 0], np.nan)
    return np.asarray(flat[:, 2] / ahead, np.float64)


def _through(seen: Points, true: Points) -> Points:
    """(3,3) with a positive third coordinate on the points' side of the horizon. Raises UsageError where the points
    lie on both sides of it."""
    found = np.asarray(cv2.getPerspectiveTransform(seen.astype(np.float32), true.astype(np.float32)), np.float64)
    thirds = np.column_stack([seen, np.ones(4)]) @ found[2]
    if not (np.isfinite(found).all() and ((thirds > 0).all() or (thirds < 0).all())):
        raise UsageError("the four points are not seen from above: their order in the picture is another one.")
    found = found * np.sign(thirds[0])
    if np.linalg.det(found) > 0:
        raise UsageError("the four points are mirrored: what is on the left in the picture must have the larger second "
                         "number, as metres count to the left.")
    return np.asarray(found, np.float64)


def _on_a_line(points: Points) -> Sequence[int] | None:
    """Three of the points that lie on a line."""
    extent = float(np.ptp(points, axis=0).max())
    for three in combinations(range(len(points)), 3):
        (ax, ay), (bx, by), (cx, cy) = points[list(three)].tolist()
        longest = max(np.hypot(ax - bx, ay - by), np.hypot(bx - cx, by - cy), np.hypot(cx - ax, cy - ay))
        if abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) <= _FLAT * extent * longest:
            return three
    return None
