"""A camera's lens from pictures of a chessboard (Zhang 2000, "A flexible new technique for camera calibration")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vision.errors import DataError, UsageError
from vision.geometry.camera import Camera, Points
from vision.types import Frame, Image

_FEWEST = 5                                      # boards from which a lens is found
_WORSE = 3.0                                     # times the median error of the boards: such a one is left out
_CENTRED = 20                                    # fewer boards do not tell the principal point: it stays in the middle
_GRID = 8                                        # coverage is counted on a grid of so many cells a side
_SHRUNK = 960                                    # longer side, in pixels, in which boards are first looked for


@dataclass(frozen=True)
class Board:
    """A chessboard. inner: its inner corners, across and down, 3..50 each. square: the side of a square in metres.

    Raises UsageError for a board of other sides."""

    inner: tuple[int, int]
    square: float = 0.025

    def __post_init__(self) -> None:
        if not all(3 <= side <= 50 for side in self.inner) or not 0 < self.square < 100:
            raise UsageError(f"a board has 3 to 50 inner corners a side and squares of metres above 0; got "
                             f"{self.inner[0]}x{self.inner[1]}, {self.square:g} m.")

    @property
    def corners(self) -> np.ndarray:
        """(N,3) float32: where its inner corners are, in metres."""
        x, y = np.meshgrid(np.arange(self.inner[0]), np.arange(self.inner[1]))
        flat = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
        return np.asarray(flat * self.square, np.float32)

    def find(self, image: Image) -> Points | None:
        """Its inner corners (N,2) xy in a picture (H,W,3) uint8 BGR, counted from the middle of the first pixel; None
        where they are not all there."""
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if min(grey.shape) < 2 * max(self.inner):        # OpenCV stumbles on pictures smaller than its windows
            return None
        ratio = min(1.0, _SHRUNK / max(grey.shape))
        small = cv2.resize(grey, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA) if ratio < 1 else grey
        flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
        found, corners = cv2.findChessboardCorners(small, self.inner, None, flags)
        if not found and ratio < 1:
            ratio = 1.0
            found, corners = cv2.findChessboardCorners(grey, self.inner, None, flags)
        if not found:
            return None
        at = np.asarray(corners, np.float32).reshape(-1, 2)
        at = (at + 0.5) / ratio - 0.5
        columns = at.reshape(self.inner[1], self.inner[0], 2)
        steps = [np.linalg.norm(np.diff(columns, axis=axis), axis=2).min() for axis in (0, 1)]
        reach = int(np.clip(0.4 * min(steps), 2, 11))
        until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
        fine = cv2.cornerSubPix(grey, at.reshape(-1, 1, 2), (reach, reach), (-1, -1), until)
        return np.asarray(fine, np.float64).reshape(-1, 2)


@dataclass(frozen=True)
class Calibrated:
    """A lens and what it was made from.

    camera: the lens; its `error` is the root mean square of all corners, in pixels.
    used: the pictures that it was made from, each with its error in pixels.
    left_out: the others, each with the reason.
    coverage: the share of the picture that corners were seen in, 0..1, on a grid of 8 by 8.
    deviations: one standard deviation of fx, fy, cx and cy, in pixels.
    """

    camera: Camera
    used: tuple[tuple[str, float], ...]
    left_out: tuple[tuple[str, str], ...]
    coverage: float
    deviations: tuple[float, float, float, float]

    @property
    def report(self) -> list[str]:
        """The lines that say how good it is, and what to do about what is not."""
        camera = self.camera
        fx, fy, cx, cy = self.deviations
        lines = [
            f"reprojection error {camera.error:.3f} px over {len(self.used)} of {len(self.used) + len(self.left_out)} "
            f"pictures of {camera.size_wh[0]}x{camera.size_wh[1]}",
            f"focal {camera.focal[0]:.1f} +- {fx:.1f}, {camera.focal[1]:.1f} +- {fy:.1f} px ({camera.view:.1f} degrees "
            "across)",
            f"centre {camera.centre[0]:.1f} +- {cx:.1f}, {camera.centre[1]:.1f} +- {cy:.1f} px" if cx or cy else
            f"centre in the middle of the picture: {_CENTRED} boards would tell it",
            f"corners in {self.coverage:.0%} of the picture",
        ]
        lines += [f"left out: {name}: {why}" for name, why in self.left_out]
        if self.coverage < 0.6:
            lines.append("cover more of the picture: hold the board near its corners and edges, and tilt it.")
        if camera.error > 1:
            lines.append("an error above 1 px: is the board flat, are the pictures sharp, is --board right?")
        return lines


def calibrate(frames: Iterable[Frame], board: Board) -> Calibrated:
    """A lens from pictures of a board.

    frames: at least five pictures of one size on which the board is whole, from several sides. board: what it is.
    Raises DataError where it is found in too few."""
    places: list[tuple[str, int]] = []
    seen: list[tuple[int, Points]] = []                  # each with the number of its picture
    left_out: list[tuple[int, str]] = []
    size_wh: tuple[int, int] | None = None
    for number, frame in enumerate(frames):
        places.append((frame.source, frame.index))
        size_wh = size_wh or frame.size_wh
        (w, h), (width, height) = frame.size_wh, size_wh
        if abs(w - width) > 1 or abs(h - height) > 1:
            left_out.append((number, f"its size is {w}x{h}, not {width}x{height}"))
            continue
        corners = board.find(frame.image)
        if corners is None:
            left_out.append((number, f"no whole board of {board.inner[0]}x{board.inner[1]} inner corners found"))
        else:
            seen.append((number, corners))
    names = _names(places)
    if size_wh is None or len(seen) < _FEWEST:
        first = f" First: {names[left_out[0][0]]}: {left_out[0][1]}." if left_out else ""
        raise DataError(f"a board of {board.inner[0]}x{board.inner[1]} inner corners was found in {len(seen)} pictures"
                        f", and {_FEWEST} are needed.{first} --board counts inner corners: squares less one a side.")
    fit = _fit(seen, board, size_wh)
    usual = float(np.median(fit[1]))
    kept = [one for one, error in zip(seen, fit[1], strict=True) if error <= _WORSE * usual]
    if _FEWEST <= len(kept) < len(seen):
        left_out += [(number, f"its error is {error:.2f} px, {error / usual:.1f} times the others'")
                     for (number, _), error in zip(seen, fit[1], strict=True) if error > _WORSE * usual]
        seen, fit = kept, _fit(kept, board, size_wh)
    camera, errors, deviations = fit
    used = tuple((names[number], float(error)) for (number, _), error in zip(seen, errors, strict=True))
    without = tuple((names[number], why) for number, why in left_out)
    return Calibrated(camera, used, without, _coverage([corners for _, corners in seen], size_wh), deviations)


def _fit(
    seen: Sequence[tuple[int, Points]], board: Board, size_wh: tuple[int, int]
) -> tuple[Camera, list[float], tuple[float, float, float, float]]:
    """The lens, the error of each board in pixels, and the deviations of the first four parameters."""
    places = [board.corners] * len(seen)
    corners = [points.astype(np.float32).reshape(-1, 1, 2) for _, points in seen]
    (width, height), few = size_wh, len(seen) < _CENTRED
    guess = np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1]], np.float64)
    flags = cv2.CALIB_USE_INTRINSIC_GUESS | (cv2.CALIB_FIX_PRINCIPAL_POINT if few else 0)
    error, matrix, bends, _, _, deviations, _, per_view = cv2.calibrateCameraExtended(
        places, corners, size_wh, guess, None, flags=flags)
    matrix, bends = np.asarray(matrix, np.float64), np.asarray(bends, np.float64).ravel()[:5]
    camera = Camera(size_wh, (float(matrix[0, 0]), float(matrix[1, 1])), (float(matrix[0, 2]), float(matrix[1, 2])),
                    tuple(bends.tolist()), float(error))
    fx, fy, cx, cy = np.asarray(deviations, np.float64).ravel()[:4].tolist()
    return camera, np.asarray(per_view, np.float64).ravel().tolist(), (fx, fy, cx, cy)


def _coverage(corners: Sequence[Points], size_wh: tuple[int, int]) -> float:
    """The share of the cells of a grid that a board lies in."""
    covered = np.zeros((_GRID, _GRID), np.uint8)
    for points in corners:
        cells = np.rint(points / size_wh * _GRID * 16).astype(np.int32)
        hull = cv2.convexHull(cells)
        fine = np.zeros((_GRID * 16, _GRID * 16), np.uint8)
        cv2.fillConvexPoly(fine, hull, 1)
        covered |= fine.reshape(_GRID, 16, _GRID, 16).max(axis=(1, 3))
    return float(covered.mean())


def _names(places: Sequence[tuple[str, int]]) -> list[str]:
    """What pictures are called: the file of each, with the frame where there are several of the file."""
    frames = Counter(source for source, _ in places)
    files = [source.replace("\\", "/").rsplit("/", 1)[-1] for source, _ in places]
    return [", ".join([file] * bool(file) + [f"frame {index}"] * (not file or frames[source] > 1))
            for file, (source, index) in zip(files, places, strict=True)]
