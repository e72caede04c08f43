"""What is written in a frame: words with their places, in the order in which one reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from vision.drawing import Canvas, colour, paint
from vision.text import quads as quad_geometry
from vision.types import Floats, Image, Ints, Names, _round, _Rows

Strings = npt.NDArray[np.str_]
_BEYOND = 0.6                          # how far a cover reaches over its quad, as in `quads.grown`


@dataclass(frozen=True)
class TextEvent:
    """A text that was there for some time.

    text: as it was read best. score: of that reading, 0..1. start, end: when it was first and last seen, in seconds.
    id: its own, as in `Texts.ids`. centre: (x, y) in pixels, where it was last seen.
    """

    text: str
    score: float
    start: float
    end: float
    id: int
    centre: tuple[float, float]

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """As an event in a record: `event` is "text"; `time_s` and `start_s` its first moment, `end_s` its last."""
        start, end = round(self.start, 3), round(self.end, 3)
        return {
            "event": "text", "time_s": start, "text": self.text, "score": round(self.score, 4), "start_s": start,
            "end_s": end, "id": self.id, "x": round(self.centre[0], 1), "y": round(self.centre[1], 1),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Texts(_Rows):
    """The words in a frame, in reading order.

    quads: (N,4,2) float32, corners xy in frame pixels, clockwise from the word's upper left one.
    texts: (N,) str. scores: (N,) float32 in 0..1, how sure the reading is.
    lines: (N,) int64, the line that each word is in, from 0. blocks: (N,) int64, the column or paragraph, from 0.
    ids: (N,) int64, of the text that lasts on a video, from 1; 0 on a picture.
    events: what has ended since the frame before: texts that were there for some time.
    covered: (M,4,2) quads that are made unreadable where the frame is drawn; None: none are.
    """

    quads: Floats
    texts: Strings
    scores: Floats
    lines: Ints
    blocks: Ints
    ids: Ints
    events: tuple[TextEvent, ...] = field(default=(), kw_only=True)
    covered: Floats | None = field(default=None, kw_only=True)

    columns: ClassVar[Names] = ("text", "quad", "line", "block")
    event_columns: ClassVar[Names] = ("source", "frame", "event", "text", "score", "start_s", "end_s", "id", "x", "y")
    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        "quads": (np.float32, (-1, 4, 2)), "texts": (np.str_, (-1,)), "scores": (np.float32, (-1,)),
        "lines": (np.int64, (-1,)), "blocks": (np.int64, (-1,)), "ids": (np.int64, (-1,)),
    }

    @property
    def boxes(self) -> Floats:
        """(N,4) float32 xyxy: the upright boxes around the words."""
        return quad_geometry.boxes_of(self.quads)

    @property
    def text(self) -> str:
        """All of it: a line a line, an empty one between columns."""
        blocks = [self[self.blocks == block].by_line() for block in dict.fromkeys(self.blocks.tolist())]
        return "\n\n".join("\n".join(line.line for line in block) for block in blocks)

    @property
    def line(self) -> str:
        """The words with a space between each two."""
        return " ".join(self.texts.tolist())

    def by_line(self) -> list[Texts]:
        """The words of each line."""
        starts = np.flatnonzero(np.diff(self.lines)) + 1
        return [self[rows] for rows in np.split(np.arange(len(self)), starts)] if len(self) else []

    def rounded(self) -> Texts:
        """The same rows, rounded as in a record: corners to 0.01 pixels, scores to 0.0001."""
        return replace(self, quads=_round(self.quads, 2), scores=_round(self.scores, 4))

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`{"objects": [{"text", "score", "box", "quad", "line", "block"}, ...], "lines": [{"text", "score", "quad"},
        ...]}`: the words, and the lines that they make, in reading order; with `id` on a video."""
        lines = self.by_line()
        return {
            "objects": [self._word(i, box) for i, box in enumerate(self.boxes.tolist())],
            "lines": [{
                "text": line.line,
                "score": round(float(line.scores.mean()), 4),
                "quad": _plain(quad_geometry.around(line.quads)),
            } for line in lines],
        }

    def _word(self, i: int, box: list[float]) -> dict[str, Any]:
        return {
            "text": str(self.texts[i]), "score": round(float(self.scores[i]), 4),
            "box": [round(v, 2) for v in box], "quad": _plain(self.quads[i]),
            "line": int(self.lines[i]), "block": int(self.blocks[i]),
            **({"id": int(self.ids[i])} if self.ids[i] else {}),
        }


def _plain(quad: Floats) -> list[list[float]]:
    return [[round(x, 2), round(y, 2)] for x, y in quad.tolist()]


@paint.register
def _(result: Texts, canvas: Canvas, names: Names) -> None:
    """Draw the words: their quads, and what a line says above it; or, of what is covered, nothing that can be read."""
    if result.covered is not None:
        for quad in result.covered:
            cover(canvas.image, quad)
        return
    for line in result.by_line():
        shade = colour(int(line.ids[0]) or int(line.lines[0]))
        corners = np.rint(np.nan_to_num(line.quads).clip(-1e5, 1e5) * 8).astype(np.int32)
        cv2.polylines(canvas.image, list(corners), True, shade, canvas.thick(1.5), cv2.LINE_AA, shift=3)
        left, top, right, bottom = quad_geometry.boxes_of(line.quads.reshape(1, -1, 2))[0].tolist()
        canvas.keep_free((left, top, right, bottom))
        canvas.label(canvas.say(id=int(line.ids[0]), name=line.line), (left, top, right, bottom), shade)


def cover(image: Image, quad: Floats) -> None:
    """Make what is written in a quad, and a little around it, unreadable: squares as high as half of it, in place."""
    wider = quad_geometry.grown(np.asarray(quad, np.float32), _BEYOND)
    (left, top), (right, bottom) = np.floor(wider.min(axis=0)).astype(int), np.ceil(wider.max(axis=0)).astype(int)
    left, top = max(0, int(left)), max(0, int(top))
    piece = image[top : int(bottom), left : int(right)]
    if not piece.size:
        return
    side = max(2.0, float(quad_geometry.sides(wider[None]).min()) / 2)
    size = max(1, round(piece.shape[1] / side)), max(1, round(piece.shape[0] / side))
    coarse = cv2.resize(piece, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(coarse, (piece.shape[1], piece.shape[0]), interpolation=cv2.INTER_NEAREST)
    mask = np.zeros(piece.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(wider - (left, top)).astype(np.int32)], 1)
    piece[mask > 0] = coarse[mask > 0]


def clock(time: float) -> str:
    """Seconds as a time code: 0:01:02.345."""
    milliseconds = round(time * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
