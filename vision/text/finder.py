"""Where text is in a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vision.card import Card
from vision.engine import Engine
from vision.errors import ModelError, UsageError
from vision.inside import card_inside
from vision.spec import nearest
from vision.tasks.detect import input_view
from vision.tasks.model import Model
from vision.text.cards import finder_card
from vision.text.found import DECODERS, TextQuads
from vision.types import Image
from vision.view import View


class TextFinder(Model):
    """Finds pieces of text: words or lines, as the network has learnt them. `TextFinder.load()` makes one.

    engine: takes (B,h,w,3) uint8 BGR, and returns what the card's `boxes.layout` names: db, a map (B,1,h,w), or
    east, scores (B,1,h/4,w/4) and geometry (B,5,h/4,w/4). Raises ModelError for another layout.
    """

    task = "text-boxes"

    def __init__(self, engine: Engine, card: Card) -> None:
        super().__init__(engine, card)
        if card.boxes.layout not in DECODERS:
            raise ModelError(f"{card.name!r} says where text is as {card.boxes.layout!r}. "
                             f"{nearest(card.boxes.layout, DECODERS)}")
        self._decode = DECODERS[card.boxes.layout]

    @classmethod
    def _card(cls, model: str | Path | Card) -> Card:
        if not isinstance(model, Card) and Path(model).suffix == ".onnx":
            return card_inside(Path(model)) or finder_card(Path(model))
        return super()._card(model)

    def __call__(self, image: Image, *, min_score: float | None = None) -> TextQuads:
        """The pieces of text in `image` (H,W,3) uint8 BGR, in no order. min_score: the least score, 0..1; the card's
        own unless given."""
        return self.submit([image], min_score=min_score)()[0]

    def submit(
        self, images: Sequence[Image], *, min_score: float | None = None
    ) -> Callable[[], list[TextQuads]]:
        """Start on pictures, and do not wait: the function that comes back does, and returns one result a picture.
        Raises UsageError for another picture or score."""
        floor = self.card.min_score if min_score is None else min_score
        if not 0 <= floor <= 1:
            raise UsageError(f"min_score lies in 0..1; got {min_score}")
        views = [input_view(image, self.card.input, self.engine.input_wh) for image in images]
        begun = [self.engine.submit(view.pixels[None]) for view in views]
        return lambda: [
            _in_frame(self._decode(future.result(), floor), view) for view, future in zip(views, begun, strict=True)
        ]


def _in_frame(found: TextQuads, view: View) -> TextQuads:
    """Quads of a view in pixels of its frame, cut to it."""
    points = view.points_to_frame(found.quads.reshape(-1, 2)).clip(0, view.frame_wh)
    return TextQuads(points.reshape(-1, 4, 2), found.scores)


