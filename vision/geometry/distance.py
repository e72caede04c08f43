"""How far away an object is: by where it stands on the ground, by its known size, and by both together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.geometry.camera import Camera
from vision.geometry.ground import Ground

NINETY = 1.6449                                  # standard deviations on each side of a 90 % interval
_DISAGREE = NINETY**2                            # two estimates that differ by more: one of them is wrong
_EDGE = 0.1                                      # of a box's height: a foot so near the picture's edge is cut off
# how far off a detector's box is, in pixels and as a share of its height: 118 cars, buses and people of VOC2007
_FOOT = (1.5, 0.06)                              # its foot
_WIDTH = (1.0, 0.04)                             # its width, its height


@dataclass(frozen=True)
class Estimate:
    """A distance or a time, with its 90 % interval. What is even about it is the error of its inverse: a foot on the
    ground gives one over the distance, a change of scale one over the time.

    inverse: one over it; 0 and below: further than can be said, or never. error: one standard deviation of that which
    lasts from frame to frame. passing: of that which differs from one to the next.
    """

    inverse: float
    error: float
    passing: float = 0.0

    @property
    def value(self) -> float:
        """The distance or time; infinite where it is too far to say, or never."""
        return 1 / self.inverse if self.inverse > 0 else float("inf")

    @property
    def total(self) -> float:
        """One standard deviation of `inverse`, of everything."""
        return float(np.hypot(self.error, self.passing))

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 90 % interval; the upper one may be infinite."""
        nearest, furthest = self.inverse + NINETY * self.total, self.inverse - NINETY * self.total
        return (1 / nearest if nearest > 0 else float("inf")), (1 / furthest if furthest > 0 else float("inf"))

    def nearer(self, metres: float, error: float = 0.0) -> Estimate:
        """The same as seen from so many metres nearer: to the back of a car, whose wheels stand further away. error:
        one standard deviation of `metres`."""
        if self.inverse <= 0 or not (metres or error):
            return self
        moved = 1 / max(self.value - metres, 0.1)
        scale = (moved / self.inverse) ** 2
        return Estimate(moved, float(np.hypot(self.error * scale, error * moved**2)), self.passing * scale)


@dataclass(frozen=True)
class Size:
    """How large things of a class are, in metres, each with one standard deviation as a share of it.

    width: across, seen from the front or from behind; None where that tells nothing. height: None likewise.
    reach: how much nearer its nearest surface is than its wheels and its widest part, with one standard deviation.
    """

    width: float | None
    height: float | None
    width_error: float = 0.08
    height_error: float = 0.08
    reach: float = 0.0
    reach_error: float = 0.0


# Of vehicles: new cars in Europe are 1.80 m wide on average (ICCT's Pocketbook), lorries and buses at most 2.55 m by
# law, which they use; rear overhang up to the tyres is half a metre. Of people: adults, and fewer children.
SIZES: Mapping[str, Size] = {
    "car": Size(1.80, 1.50, 0.07, 0.10, 0.5, 0.2),
    "bus": Size(2.50, 3.10, 0.05, 0.12, 0.3, 0.3),
    "truck": Size(2.45, 3.20, 0.10, 0.20, 0.3, 0.3),
    "train": Size(2.90, 3.80, 0.08, 0.10),
    "person": Size(None, 1.70, height_error=0.08),
    "pedestrian": Size(None, 1.70, height_error=0.08),
    "bicycle": Size(None, 1.05, height_error=0.12),
    "bicyclist": Size(None, 1.70, height_error=0.10),
    "motorbike": Size(0.80, 1.10, 0.15, 0.12, 0.3, 0.2),
    "motorcycle": Size(0.80, 1.10, 0.15, 0.12, 0.3, 0.2),
    "horse": Size(None, 1.65, height_error=0.12),
    "cow": Size(None, 1.45, height_error=0.12),
    "sheep": Size(None, 0.85, height_error=0.20),
    "dog": Size(None, 0.50, height_error=0.30),
}


def foot_error(box: Sequence[float] | npt.NDArray[np.float32]) -> float:
    """One standard deviation of the foot of a detector's box (4,) xyxy, in pixels."""
    return _FOOT[0] + _FOOT[1] * float(box[3] - box[1])


def by_foot(
    ground: Ground, box: Sequence[float] | npt.NDArray[np.float32], size: Size | None = None,
    pixel_error: float | None = None,
) -> Estimate | None:
    """The distance of what stands where the lower edge of its box is.

    ground: of the frame. box: (4,) xyxy in frame pixels. size: of its class, for its reach. pixel_error: one standard
    deviation of the lower edge; that of a detector's box unless given.
    Returns metres ahead to its nearest surface; None where the foot is cut off by the picture's edge, or at the
    horizon or above it."""
    left, _, right, bottom = (float(side) for side in box)
    if bottom > ground.size_wh[1] - max(1.0, _EDGE * float(box[3] - box[1])):
        return None
    foot = [[(left + right) / 2, bottom]]
    inverse = float(ground.inverse(foot)[0])
    if not inverse > 0:
        return None
    if pixel_error is None:                      # what a detector's box lacks, it lacks in the next frame too
        lasting, passing = ground.inverse_errors(foot, 0.0)
        slope = float(ground.inverse([[foot[0][0], bottom + 1]])[0]) - inverse
        lasting = np.hypot(lasting, slope * foot_error(box))
    else:
        lasting, passing = ground.inverse_errors(foot, pixel_error)
    found = Estimate(inverse, float(lasting[0]), float(passing[0]))
    return found if size is None else found.nearer(size.reach, size.reach_error)


def by_size(camera: Camera, box: Sequence[float] | npt.NDArray[np.float32], size: Size) -> Estimate | None:
    """The distance of what is as large as its class.

    camera: of the frame. box: (4,) xyxy in frame pixels. size: of its class.
    Returns metres to its nearest surface; None where neither its width nor its height is known and whole. The width
    counts, seen from the front or from behind; the height where the box is wider than that, or cut off at a side."""
    left, top, right, bottom = (float(side) for side in box)
    wide, high = right - left, bottom - top
    if min(wide, high) < 4:
        return None
    width, height = camera.size_wh
    cut_x, cut_y = left < 2 or right > width - 2, top < 2 or bottom > height - max(2.0, _EDGE * high)
    options = []
    broad = size.width is not None and size.height is not None and wide / high > 1.35 * size.width / size.height
    if size.width is not None and not cut_x and not (broad and not cut_y):
        options.append((wide / camera.focal[0] / size.width, size.width_error, wide))
    if size.height is not None and not cut_y:
        options.append((high / camera.focal[1] / size.height, size.height_error, high))
    if not options:
        return None
    inverse, share, pixels = options[0]
    blur = (_WIDTH[0] + _WIDTH[1] * pixels) / pixels
    return Estimate(inverse, float(inverse * np.hypot(share, blur))).nearer(size.reach, size.reach_error)


def combined(*estimates: Estimate | None) -> Estimate | None:
    """Estimates of one distance together, each by how sure it is; those that are None are left out. Two that cannot
    both be right widen the interval. None where there is none."""
    found = [one for one in estimates if one is not None]
    if len(found) < 2:
        return found[0] if found else None
    weights = np.array([1 / max(one.total, 1e-12) ** 2 for one in found])
    shares = weights / weights.sum()
    inverse = float(shares @ [one.inverse for one in found])
    error = float(np.sqrt((shares**2) @ [one.error**2 for one in found]))
    passing = float(np.sqrt((shares**2) @ [one.passing**2 for one in found]))
    chi = float(sum(((one.inverse - inverse) / max(one.total, 1e-12)) ** 2 for one in found)) / (len(found) - 1)
    wider = np.sqrt(max(1.0, chi / _DISAGREE))
    return replace(Estimate(inverse, error, passing), error=float(error * wider), passing=float(passing * wider))


def size_of(name: str, sizes: Mapping[str, Size] = SIZES) -> Size:
    """The size of a class by name. Raises UsageError with the classes that have one."""
    if name not in sizes:
        raise UsageError(f"how large a {name!r} is is not known. Sizes are known of: {', '.join(sizes)}.")
    return sizes[name]
