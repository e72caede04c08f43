"""VitTrack of OpenCV's zoo (2023): a transformer looks for a template in a window, as in OSTrack (Ye et al. 2022)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from vision import zoo
from vision.card import IMAGENET_MEAN, IMAGENET_STD, Card
from vision.engine.prompted import opened
from vision.errors import ModelError
from vision.state import State
from vision.tracking.follow import Target, checked_box
from vision.types import Floats, Image
from vision.view import checked_image
from vision.weights import resolve

_TEMPLATE, _SEARCH = 128, 256            # pixels a side, as the network takes them
_AROUND = {_TEMPLATE: 2, _SEARCH: 4}     # sides of these windows, in sides of a square as large as the object
_LOST = 0.2                              # score below which the object is lost, OpenCV's
_LEAST = 8.0                             # pixels of a side


class VitNet:
    """The network, on the processor in float32. Streams share it.

    file: an ONNX file with the inputs `template` (1,3,128,128) and `search` (1,3,256,256), and the outputs `output1` to
    `output3`. Raises WeightsError for a file that is no ONNX, ModelError for a graph of other inputs or outputs.
    """

    def __init__(self, file: Path, card: Card) -> None:
        self.card, self.name = card, card.name
        self._session = opened(file)
        takes = {one.name for one in self._session.get_inputs()}
        gives = {one.name for one in self._session.get_outputs()}
        if takes != {"template", "search"} or not gives.issuperset(("output1", "output2", "output3")):
            raise ModelError(f"{str(file)!r} takes {', '.join(sorted(takes))} and gives {', '.join(sorted(gives))}; "
                             "expected template and search, and output1 to output3: VitTrack.")

    @classmethod
    def load(cls, model: str | Path | Card = "vittrack", *where: str) -> Self:
        """The network by its name or card; where it runs does not matter. Raises ModelError for another name,
        WeightsError where it is not pulled yet: `vision weights pull vittrack`."""
        card = zoo.find(model, "follow")
        return cls(resolve(card), card)

    def __call__(self, template: Floats, search: Floats) -> tuple[Floats, Floats, Floats]:
        """Two windows as `blob` makes them -> of 16x16 cells the scores (16,16) in 0..1, and width and height, and
        the centre's place in its cell, (2,16,16) each, as shares of the window and of the cell."""
        scores, sizes, places = self._session.run(["output1", "output2", "output3"],
                                                  {"template": template, "search": search})
        return scores[0, 0], sizes[0], places[0]

    def close(self) -> None:
        """Give the memory back."""
        del self._session


class Vit:
    """A follower (see `Follower`) by `VitNet`: what it looks like is taken from the first frame alone. While it is
    lost, it is looked for around the place where it was last.

    image: (H,W,3) uint8 BGR. box: (4,) xyxy in pixels. net: the network, loaded once for all.
    """

    def __init__(self, image: Image, box: Floats, time: float = 0.0, *, net: VitNet) -> None:
        self._net, self._box = net, checked_box(box, image)
        self._template = blob(image, self._box, _TEMPLATE)

    def __call__(self, image: Image, time: float) -> Target:
        """Where it is now."""
        height, width = checked_image(image).shape[:2]
        scores, sizes, places = self._net(self._template, blob(image, self._box, _SEARCH))
        scores = scores * hann(len(scores))
        row, column = np.unravel_index(int(scores.argmax()), scores.shape)
        score = float(np.clip(scores[row, column], 0, 1))
        if not score >= _LOST:
            return Target(self._box, score, True)
        left, top, side = window(self._box, _SEARCH)
        centre = (np.array([column, row]) + places[:, row, column]) / len(scores)
        half = np.maximum(sizes[:, row, column] * side, _LEAST) / 2
        at = np.clip(centre * side + (left, top), 0, (width, height))          # its centre stays in the frame
        self._box = np.concatenate([at - half, at + half]).astype(np.float32)
        return Target(self._box, score, False)

    def state(self) -> State:
        """What it looks like, and where it was."""
        return {"template": self._template.copy(), "box": self._box.copy()}

    def restore(self, state: State) -> None:
        """Go on from the `state` of another one."""
        self._template, self._box = state["template"].copy(), state["box"].copy()


def window(box: Floats, pixels: int) -> tuple[int, int, int]:
    """Left, top and side, in whole pixels, of the square around a box (4,) xyxy that becomes `pixels` a side."""
    width, height = (box[2:] - box[:2]).tolist()
    side = int(np.sqrt(width * height) * _AROUND[pixels])
    left, top = (box[:2] + (box[2:] - box[:2] - side) / 2).astype(int).tolist()
    return left, top, side


def blob(image: Image, box: Floats, pixels: int) -> Floats:
    """The window around a box, (1,3,pixels,pixels) RGB by ImageNet's mean and deviation; black outside of the frame."""
    left, top, side = window(box, pixels)
    height, width = image.shape[:2]
    inside = image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    before = max(0, -top), max(0, -left)
    after = max(0, top + side - max(top, height)), max(0, left + side - max(left, width))
    padded = cv2.copyMakeBorder(inside, before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT)
    seen = cv2.resize(padded, (pixels, pixels))[..., ::-1] / np.float32(255)
    seen = (seen - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
    return np.ascontiguousarray(seen.transpose(2, 0, 1)[None], np.float32)


@cache
def hann(cells: int) -> Floats:
    """(cells,cells): a window that is highest in the middle, since objects jump seldom."""
    one = 0.5 * (1 - np.cos(2 * np.pi / (cells + 1) * np.arange(1, cells + 1)))
    return np.outer(one, one).astype(np.float32)
