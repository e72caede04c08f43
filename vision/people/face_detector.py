"""Face detection: BlazeFace (Bazarevsky et al. 2019) with tiles for small faces in large pictures.

The graph hands out, for each anchor, a box, six points and a score in input pixels. Overlapping
answers are not thrown away but averaged by their scores (the paper's section 4.3), which is what
keeps the points of a video steady.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from vision.boxes import cxcywh_to_xyxy, iou
from vision.card import Card
from vision.engine import Engine
from vision.errors import UsageError
from vision.people import yunet
from vision.tasks.model import Model
from vision.types import Floats, Image, Landmarks
from vision.view import View, checked_image, turn, window

RIGHT_EYE, LEFT_EYE, NOSE_TIP, MOUTH, RIGHT_EAR, LEFT_EAR = range(6)
_TILE = 448                 # pixels of the network's input, at most
_OVERLAP = 1.0 / 7          # of a tile's side: what lies on the edge of one is whole in the next
_STRIDE = 32                # of the network's coarsest layer


class Tile(NamedTuple):
    """A part of a picture, or all of it.

    box: xyxy in pixels of the picture.
    size_wh: of the network's input that shows it, in pixels.
    """

    box: tuple[int, int, int, int]
    size_wh: tuple[int, int]


class FaceDetector(Model):
    """Finds faces. `FaceDetector.load()` makes one.

    A call gives `Landmarks`, best first: for each face a box (4,) xyxy and six points (6,2), `RIGHT_EYE` to
    `LEFT_EAR`, in frame pixels, with the face's score in 0..1 at each point.

    engine: (B,h,w,3) uint8 to (B,A,17): centre, size, six points and score of A candidates.
    card: what the network is; `min_score` and `size_wh` are read.
    smallest: what is less wide, in pixels of the network's input, is hardly found.
    """

    task, smallest = "faces", 15.6

    def __init__(self, engine: Engine, card: Card) -> None:
        super().__init__(engine, card)
        self.names = ("face",)

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
    ) -> Self:
        """As `Model.load`: `blazeface-full`, `blazeface-back` or `yunet`.

        `yunet` runs in OpenCV alone, on the CPU in fp32: EngineError for any other choice.
        """
        card = cls._card(model)
        if card.boxes.layout == "yunet":
            return cls(yunet.load(card, device, precision, backend), card)
        return super().load(card, device, precision, backend)

    def __call__(
        self,
        image: Image,
        *,
        min_score: float | None = None,
        min_face: float = 24.0,
        turned: bool = False,
        tiles: Sequence[Tile] | None = None,
    ) -> Landmarks:
        """The faces in `image` (H,W,3) uint8 BGR, best first; the arguments are `submit`'s."""
        return self.submit([image], min_score=min_score, min_face=min_face, turned=turned, tiles=tiles)()[0]

    def submit(
        self,
        images: Sequence[Image],
        *,
        min_score: float | None = None,
        min_face: float = 24.0,
        turned: bool = False,
        tiles: Sequence[Tile] | None = None,
    ) -> Callable[[], list[Landmarks]]:
        """Start on `images`; the function that comes back waits, and gives the faces of each, best first.

        images: (H,W,3) uint8 BGR each; they must not change until then.
        min_score: above 0, up to 1; None is the card's own.
        min_face: width in pixels, above 0. A picture in which such a face is too small for the network is
            looked at in overlapping tiles too.
        turned: look at the picture turned by 90, 180 and 270 degrees too. Without it, faces are found that
            are tilted by up to about 60 degrees.
        tiles: look at these alone, some of `self.tiles(image, min_face)`, at least one; None looks at all.

        Raises UsageError for a picture or a value out of range.
        """
        threshold = self._threshold(min_score, min_face)
        counts, views = [], []
        for image in images:
            some = self._views(image, tiles or self.tiles(image, min_face), turned)
            counts.append(len(some))
            views += some
        asked = [self.engine.submit(view.pixels[None]) for view in views]

        def collect() -> list[Landmarks]:
            pairs = ((view, future.result()[0][0]) for view, future in zip(views, asked, strict=True))
            return [_found(list(islice(pairs, count)), threshold) for count in counts]

        return collect

    def tiles(self, image: Image, min_face: float) -> list[Tile]:
        """Where to look for faces of `min_face` pixels and larger in `image` (H,W,3).

        First the whole picture; then, where such faces are too small for the network in it, overlapping
        tiles in which they are large enough.
        """
        h, w = checked_image(image).shape[:2]
        tiles = [Tile((0, 0, w, h), self.card.input.size_wh)]
        scale, fixed = self.smallest / min_face, self.engine.input_wh
        if max(w, h) * scale > self.card.input.size_wh[0]:
            side = (fixed[0] if fixed else _TILE) / scale
            for top, bottom in _spread(h, side):
                for left, right in _spread(w, side):
                    size = _padded((right - left) * scale), _padded((bottom - top) * scale)
                    tiles.append(Tile((left, top, right, bottom), fixed or size))
        return tiles

    def _threshold(self, min_score: float | None, min_face: float) -> float:
        threshold = self.card.min_score if min_score is None else min_score
        if not 0 < threshold <= 1 or min_face <= 0:
            raise UsageError(
                f"min_score lies in 0..1 and min_face above 0; got {threshold} and {min_face}"
            )
        return threshold

    def _views(self, image: Image, tiles: Sequence[Tile], turned: bool) -> list[View]:
        views = []
        for box, size_wh in tiles:
            for quarters in range(4 if turned else 1):
                lies = quarters % 2 and not self.engine.input_wh
                size = size_wh[::-1] if lies else size_wh
                views.append(window(image, box, size, fill=0, quarters=quarters))
        return views


def _padded(side: float) -> int:
    return -(-max(1, round(side)) // _STRIDE) * _STRIDE


def _spread(length: int, side: float) -> list[tuple[int, int]]:
    """The fewest stretches of one size, at most about `side`, that cover 0..length with an overlap."""
    overlap = side * _OVERLAP
    count = max(1, int(np.ceil((length - overlap) / (side - overlap))))
    each = min(length, int(np.ceil((length + (count - 1) * overlap) / count)))
    starts = np.rint(np.linspace(0, length - each, count)).astype(int).tolist()
    return [(start, start + each) for start in starts]


def _found(pairs: Sequence[tuple[View, Floats]], threshold: float) -> Landmarks:
    """What is in views of one picture, each with the network's answer (A,5+2K) to it."""
    return merge(np.concatenate([_decode(answer, view, threshold) for view, answer in pairs]))


def _decode(rows: Floats, view: View, threshold: float) -> Floats:
    """(A,5+2K) centre, size, K points, score in view pixels -> (n,5+2K) xyxy, points, score in the frame."""
    rows = rows[rows[:, -1] >= threshold]
    points = view.points_to_frame(rows[:, 4:-1].reshape(-1, 2)).reshape(-1, rows.shape[1] - 5)
    centres = view.points_to_frame(rows[:, :2])
    sizes = rows[:, 2:4] / np.abs(np.array(view.scale)) @ np.abs(turn(view.angle))          # by quarters
    boxes = cxcywh_to_xyxy(np.concatenate([centres, sizes], axis=1))
    return np.concatenate([boxes, points, rows[:, -1:]], axis=1, dtype=np.float32)


def merge(rows: Floats, max_iou: float = 0.3) -> Landmarks:
    """Weighted non-maximum suppression of (n,5+2K) rows: xyxy, K points, score.

    The best row gathers all that overlap it by more than `max_iou` into their average, weighted by
    the scores; it keeps its own score. Best first.
    """
    columns = rows.shape[1]
    points = (columns - 5) // 2
    rows = rows[np.argsort(-rows[:, -1], kind="stable")]
    merged = []
    while len(rows):
        near = iou(rows[:1, :4], rows[:, :4])[0] > max_iou
        near[0] = True                                                # a box of no area overlaps nothing
        weights = rows[near, -1:]
        merged.append(np.append((rows[near, :-1] * weights).sum(axis=0) / weights.sum(), rows[0, -1]))
        rows = rows[~near]
    table = np.asarray(merged, np.float32).reshape(-1, columns)
    scores = np.repeat(table[:, -1:], points, axis=1)
    return Landmarks(table[:, :4], table[:, 4:-1].reshape(-1, points, 2), scores)
