"""Speed on the ground, with its uncertainty, from four reference points."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.state import State
from vision.tracking.scene import Ground, Points
from vision.types import Floats, Ints

WINDOW = 1.0               # seconds of path that a speed is taken from
JITTER = 0.05              # of an anchor, in box sizes: what a filtered box still wavers


class Speedometer:
    """Speeds of tracks over the last second: metres a second, and one standard deviation.

    A track's anchors go to the ground by the homography of the four reference points, and a straight
    line is fitted to them over time. The uncertainty has two parts. One is the line's: the scatter of
    the anchors, at least `JITTER` box sizes, through the homography's slope where the track is. The
    other is the reference points': each is moved by `ground.error` pixels, and what that does to the
    speed adds up in squares. A speed is known when the path is as long as half the window and lies
    below the horizon.
    """

    def __init__(self, ground: Ground) -> None:
        self._homographies = np.array([_homography(ground, image) for image in _moved(ground)])
        self._paths: dict[int, list[tuple[float, float, float]]] = {}

    def __call__(
        self, ids: Ints, anchors: Points, sizes: npt.NDArray[np.float64], time: float
    ) -> tuple[Floats, Floats]:
        """Speeds (N,) in metres a second and their standard deviations (N,); not a number where unknown.

        ids: (N,) of the tracks. anchors: (N,2) pixels. sizes: (N,) roots of the boxes' areas, in pixels.
        time: seconds.
        """
        speeds, errors = np.full((2, len(ids)), np.nan, np.float32)
        self._paths = {i: path for i, path in self._paths.items() if time - path[-1][0] <= WINDOW}
        for n, i in enumerate(ids.tolist()):
            path = self._paths.setdefault(i, [])
            path.append((time, *anchors[n].tolist()))
            while time - path[0][0] > WINDOW + 1e-6:
                path.pop(0)
            if len(path) >= 3 and time - path[0][0] >= WINDOW / 2:
                speeds[n], errors[n] = self._fit(np.array(path), float(sizes[n]))
        return speeds, errors

    def state(self) -> State:
        """All that it remembers, as arrays: ids (N,), how many points each path has (N,), and the points of
        all, (M,3) seconds and pixels."""
        paths = list(self._paths.values())
        return {
            "ids": np.array([*self._paths], np.int64),
            "lengths": np.array([len(path) for path in paths], np.int64),
            "points": np.array([point for path in paths for point in path], np.float64).reshape(-1, 3),
        }

    def restore(self, state: State) -> None:
        """Go on from the `state` of a speedometer on the same ground."""
        paths = np.split(state["points"], np.cumsum(state["lengths"])[:-1]) if len(state["ids"]) else []
        self._paths = {
            i: [(t, x, y) for t, x, y in path.tolist()]
            for i, path in zip(state["ids"].tolist(), paths, strict=True)
        }

    def _fit(self, path: npt.NDArray[np.float64], size: float) -> tuple[float, float]:
        """path: (T,3) seconds, x, y."""
        ground = np.stack([_project(h, path[:, 1:]) for h in self._homographies])      # (9,T,2) metres
        t = path[:, 0] - path[:, 0].mean()
        velocity = np.einsum("t,htc->hc", t, ground) / (t @ t)                          # (9,2)
        speed = np.linalg.norm(velocity, axis=1)
        rest = ground[0] - ground[0].mean(0) - t[:, None] * velocity[0]
        step = JITTER * size
        here = path[-1, 1:]
        around = _project(self._homographies[0], here + np.array([[step, 0], [0, step], [0, 0]]))
        jitter = around[:2] - around[2]                # (2,2) metres, for a step in x and in y
        along = velocity[0] / max(float(speed[0]), 1e-9)
        wavers = float(((jitter @ along) ** 2).sum())
        scatter = float(((rest @ along) ** 2).sum()) / (len(t) - 2)
        variance = max(scatter, wavers) / float(t @ t) + float(((speed[1:] - speed[0]) ** 2).sum())
        if not np.isfinite(variance):                  # beyond the horizon, of one of the homographies
            return np.nan, np.nan
        return float(speed[0]), float(np.sqrt(variance))


def _moved(ground: Ground) -> list[npt.NDArray[np.float32]]:
    """The reference points, and eight times with one coordinate moved by the error."""
    image = np.array(ground.image, np.float32)
    moved = [image]
    for k in range(8):
        other = image.copy()
        other.flat[k] += ground.error
        moved.append(other)
    return moved


def _homography(ground: Ground, image: npt.NDArray[np.float32]) -> Points:
    """(3,3) from pixels to metres, with a positive third coordinate on the reference points' side of the
    horizon."""
    found = cv2.getPerspectiveTransform(image, np.array(ground.metres, np.float32)).astype(np.float64)
    return np.asarray(found * np.sign(found[2] @ [*image[0], 1]), np.float64)


def _project(homography: Points, points: Points) -> Points:
    """(N,2) pixels in metres; not a number beyond the horizon."""
    flat = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return np.asarray(flat[:, :2] / np.where(flat[:, 2:] > 0, flat[:, 2:], np.nan), np.float64)
