"""Face detection: BlazeFace (Bazarevsky et al. 2019) with tiles for small faces in large pictures.

The graph hands out, for each anchor, a box, six points and a score in input pixels. Overlapping
answers are not thrown away but averaged by their scores (the paper's section 4.3), which is what
keeps the points of a video steady.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vision.boxes import cxcywh_to_xyxy, iou
from vision.engine import Engine
from vision.errors import UsageError
from vision.types import Floats, Image, Landmarks
from vision.view import View, letterbox, patch
from vision.zoo import Card

RIGHT_EYE, LEFT_EYE, NOSE_TIP, MOUTH, RIGHT_EAR, LEFT_EAR = range(6)
_SMALLEST = 15.0            # pixels of the network's input: smaller faces are hardly found
_OVERLAP = 1.0 / 6          # of a tile's side: what lies on the edge of one is whole in the next
_TURNS = (np.pi / 2, np.pi, -np.pi / 2)


class FaceDetector:
    """Finds faces: `Landmarks` with a box and six points each (eyes, nose tip, mouth, ears)."""

    def __init__(self, engine: Engine, card: Card) -> None:
        self.engine = engine
        self.card = card
        self.name = card.name
        self.in_flight = engine.in_flight

    def __call__(
        self, image: Image, *, min_score: float | None = None, min_face: float = 24.0, turned: bool = False
    ) -> Landmarks:
        """The faces in `image` (H,W,3) uint8 BGR, best first; for the options see `submit`."""
        return self.submit([image], min_score=min_score, min_face=min_face, turned=turned)()[0]

    def submit(
        self,
        images: Sequence[Image],
        *,
        min_score: float | None = None,
        min_face: float = 24.0,
        turned: bool = False,
    ) -> Callable[[], list[Landmarks]]:
        """Start on `images`; what comes back waits and hands out the faces of each, best first.

        min_score: 0..1, None for the card's own. min_face: pixels; a picture in which such a face
        would be too small for the network is also looked at in overlapping tiles. turned: look at
        the picture turned by 90, 180 and 270 degrees too; upright, faces tilted by up to about 60
        degrees are found. Raises UsageError for a value that cannot be.
        """
        threshold = self.card.min_score if min_score is None else min_score
        if not 0 < threshold <= 1 or min_face <= 0:
            raise UsageError(
                f"min_score lies in 0..1 and min_face above 0; got {threshold} and {min_face}"
            )
        views = [_views(image, self.card.size_wh[0], min_face, turned) for image in images]
        future = self.engine.submit(np.stack([view.pixels for some in views for view in some]))

        def collect() -> list[Landmarks]:
            rows = iter(future.result()[0])                                 # (A,17) a view
            results = []
            for some in views:
                found = [_decode(next(rows), view, threshold) for view in some]
                results.append(merge(np.concatenate(found)))
            return results

        return collect


def _views(image: Image, size: int, min_face: float, turned: bool) -> list[View]:
    """The whole picture, its turned copies, and tiles in which a face of `min_face` is large enough."""
    h, w = image.shape[:2]
    views = [letterbox(image, (size, size), fill=0)]
    side = size * min_face / _SMALLEST
    angles = (0.0, *_TURNS) if turned else (0.0,)
    views += [patch(image, (w / 2, h / 2), max(w, h), size, angle=angle) for angle in angles[1:]]
    if max(w, h) <= side:
        return views
    for y in _spread(h, side):
        for x in _spread(w, side):
            views += [patch(image, (x, y), side, size, angle=angle) for angle in angles]
    return views


def _spread(length: float, side: float) -> list[float]:
    """The centres of tiles of `side` that cover 0..length with the least overlap allowed."""
    if length <= side:
        return [length / 2]
    count = int(np.ceil((length - side * _OVERLAP) / (side * (1 - _OVERLAP))))
    return [float(x) for x in np.linspace(side / 2, length - side / 2, count)]


def _decode(rows: Floats, view: View, threshold: float) -> Floats:
    """(A,17) centre, size, six points, score in view pixels -> (n,17) xyxy, points, score in the frame."""
    rows = rows[rows[:, 16] >= threshold]
    points = view.points_to_frame(rows[:, 4:16].reshape(-1, 2)).reshape(-1, 12)
    centres = view.points_to_frame(rows[:, :2])
    sizes = rows[:, 2:4] / np.abs(np.array(view.scale))     # a face's box is square: turning leaves it be
    boxes = cxcywh_to_xyxy(np.concatenate([centres, sizes], axis=1))
    return np.concatenate([boxes, points, rows[:, 16:]], axis=1, dtype=np.float32)


def merge(rows: Floats, max_iou: float = 0.3) -> Landmarks:
    """Weighted non-maximum suppression of (n,17) rows: xyxy, six points, score.

    The best row gathers all that overlap it by more than `max_iou` into their average, weighted by
    the scores; it keeps its own score. Best first.
    """
    rows = rows[np.argsort(-rows[:, 16], kind="stable")]
    merged = []
    while len(rows):
        near = iou(rows[:1, :4], rows[:, :4])[0] > max_iou
        near[0] = True                                                # a box of no area overlaps nothing
        weights = rows[near, 16:]
        merged.append(np.append((rows[near, :16] * weights).sum(axis=0) / weights.sum(), rows[0, 16]))
        rows = rows[~near]
    table = np.asarray(merged, np.float32).reshape(-1, 17)
    scores = np.repeat(table[:, 16:], 6, axis=1)
    return Landmarks(table[:, :4], table[:, 4:16].reshape(-1, 6, 2), scores)
