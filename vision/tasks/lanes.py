"""Lane networks: a picture in, its markings or curves out, and the road where the network tells it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.card import Card
from vision.driving.rows import Evidence, Rows
from vision.engine import Outputs
from vision.errors import ModelError
from vision.geometry.camera import Points
from vision.roads import lane_card
from vision.shown import Shown
from vision.tasks.model import Model
from vision.types import Image
from vision.view import View, fitted

_SAMPLES = 60


@dataclass(frozen=True, eq=False, repr=False)
class FoundLanes(Shown):
    """What a network says of lanes.

    mask: (H,W) uint8 at the frame's size, 255 on markings; None of a network that gives curves.
    curves: lines in the frame, (K,2) float64 xy in pixels each, from above; of a network that gives masks none.
    road: (h,w) bool, where one may drive; None where the network does not tell.
    """

    mask: npt.NDArray[np.uint8] | None
    curves: tuple[Points, ...] = ()
    road: npt.NDArray[np.bool_] | None = None

    def evidence(self, rows: Rows) -> Evidence:
        """Where on the rows of a road markings are."""
        if self.mask is not None:
            return rows.mask(self.mask)
        found: list[Points] = [np.empty((2, 0))]
        for curve in self.curves:
            place = rows.plane.metres(curve)
            place = place[np.isfinite(place).all(axis=1)]
            if len(place) < 2:
                continue
            order = np.argsort(1 / place[:, 0])
            forward = rows.forward[(rows.forward >= place[:, 0].min()) & (rows.forward <= place[:, 0].max())]
            left = np.interp(1 / forward, 1 / place[order, 0], place[order, 1])
            found.append(np.stack([forward, left]))
        forward, left = np.concatenate(found, axis=1)
        return Evidence(forward, left, np.ones(len(forward)))


class LaneNetwork(Model):
    """Finds lane markings, or curves, in a picture.

    engine: takes (B,h,w,3) uint8 BGR. card: whose config names the decoder: `twin` (two masks as logits (B,2,h,w): the
    road, the markings) or `lstr` (logits (B,N,2) and curves (B,N,8)).
    """

    task = "lanes"

    @classmethod
    def _card(cls, model: str | Path | Card) -> Card:
        """The card of a name, or of an `.onnx` file."""
        if not isinstance(model, Card) and Path(model).suffix == ".onnx":
            return lane_card(Path(model))
        return super()._card(model)

    def __call__(self, image: Image) -> FoundLanes:
        """What the network says of a picture (H,W,3) uint8 BGR. Raises UsageError for another picture, ModelError for
        a card without a decoder."""
        wanted = self.card.input
        view = fitted(image, self.engine.input_wh or wanted.size_wh, wanted.resize)
        outputs = self.engine(view.pixels[None])
        decoder = str(self.card.config.get("decoder", ""))
        if decoder not in DECODERS:
            raise ModelError(f"the card of {self.name!r} names no decoder of lanes ({decoder!r}). There are: "
                             f"{', '.join(DECODERS)}.")
        return DECODERS[decoder](outputs, view)


def _twin(outputs: Outputs, view: View) -> FoundLanes:
    """Logits (1,2,h,w) of the road and of markings."""
    road, lane = ((output[0, 1] > output[0, 0]).astype(np.uint8) * np.uint8(255) for output in outputs[:2])
    return FoundLanes(_on_frame(lane, view), road=_on_frame(road, view)[::4, ::4] > 0)


def _on_frame(mask: npt.NDArray[np.uint8], view: View) -> npt.NDArray[np.uint8]:
    """A mask of the network's input at the frame's size, its border cut off."""
    width, height = view.frame_wh
    (left, top), (across, down) = view.offset, view.scale
    inner = mask[round(top):round(top + down * height), round(left):round(left + across * width)]
    return np.asarray(cv2.resize(inner, view.frame_wh, interpolation=cv2.INTER_LINEAR), np.uint8)


def _lstr(outputs: Outputs, view: View) -> FoundLanes:
    """Logits (1,N,2) of there being a lane, and its curve (1,N,8): lower, upper, k, f, m, n, b, c, with
    x = k / (y - f)^2 + m / (y - f) + n + b y - c for y from lower to upper, all as shares of the picture (Liu et al.
    2021, "End-to-end lane shape prediction with transformers")."""
    logits, table = outputs[0][0], outputs[1][0].astype(np.float64)
    curves = []
    for low, high, k, f, m, n, b, c in table[logits[:, 1] > logits[:, 0]]:
        y = np.linspace(min(low, high), max(low, high), _SAMPLES)
        away = np.where(np.abs(y - f) < 1e-6, 1e-6, y - f)
        x = k / away**2 + m / away + n + b * y - c
        points = np.column_stack([x, y]) * view.frame_wh
        curves.append(points[np.abs(x - 0.5) < 2])
    return FoundLanes(None, tuple(curves))


DECODERS = {"twin": _twin, "lstr": _lstr}
