"""How well one object is followed: the curves of OTB (Wu, Lim and Yang 2013)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vision.boxes import iou
from vision.errors import DataError, MissingExtra
from vision.types import Floats

OVERLAPS = np.linspace(0, 1, 21)
PIXELS = np.arange(51)


@dataclass(frozen=True, eq=False)
class Curves:
    """success (21,): share of frames whose box overlaps the truth by more than each of `OVERLAPS`.
    precision (51,): share whose centre is at most each of `PIXELS` away."""

    success: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the success curve: OTB's main figure."""
        return float(self.success.mean())

    @property
    def at_20_pixels(self) -> float:
        """Precision at 20 pixels."""
        return float(self.precision[20])


def curves(boxes: Floats, truth: Floats) -> Curves:
    """boxes, truth: (T,4) xyxy of the same frames; a row of NaN where nothing was reported: a miss.

    Raises DataError where the numbers of frames differ or there are none.
    """
    boxes, truth = np.asarray(boxes, np.float32), np.asarray(truth, np.float32)
    if boxes.shape != truth.shape or boxes.ndim != 2 or not len(truth):
        raise DataError(f"boxes and truth must both be (T,4), T from 1 on; got {boxes.shape}, {truth.shape}.")
    there = np.isfinite(boxes).all(axis=1)
    overlap, apart = np.zeros(len(truth)), np.full(len(truth), np.inf)
    overlap[there] = np.diag(iou(boxes[there], truth[there]))
    centres = [(b[there, :2] + b[there, 2:]) / 2 for b in (boxes, truth)]
    apart[there] = np.linalg.norm(centres[0] - centres[1], axis=1)
    return Curves((overlap[:, None] > OVERLAPS).mean(axis=0), (apart[:, None] <= PIXELS).mean(axis=0))


def mean(several: list[Curves]) -> Curves:
    """The mean of the curves of several sequences, each with the same weight."""
    success, precision = zip(*((c.success, c.precision) for c in several), strict=True)
    return Curves(np.mean(success, axis=0), np.mean(precision, axis=0))


def plot(named: Mapping[str, Curves], path: str | Path) -> None:
    """Both curves of every follower into a picture; their figures stand in the legend."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtra("matplotlib", "track-eval", "The plot of curves") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, c in named.items():
        left.plot(OVERLAPS, c.success, label=f"{name} [{c.area:.3f}]")
        right.plot(PIXELS, c.precision, label=f"{name} [{c.at_20_pixels:.3f}]")
    left.set(title="success", xlabel="overlap (IoU) above", ylabel="share of frames", ylim=(0, 1))
    right.set(title="precision", xlabel="centre within (pixels)", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
