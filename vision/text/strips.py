"""Strips: pieces of text, straightened, on pictures of a few widths, read one after another in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import NamedTuple

import numpy as np

from vision.card import Input
from vision.engine import Engine, Outputs
from vision.text.ctc import Characters, Reading
from vision.types import Floats, Image
from vision.view import stretch

_WIDTHS = (20 / 3, 12, 74 / 3)         # of the strips, in heights; PP-OCR has learnt none that are narrower
_SURE = 0.9                            # a reading that scores less is made again from wider strips
_WIDER = (1.3, 1.6)
_CLOSER = (0.05, 0.1)                  # of the height, cut off at each side
_TOGETHER = 64                         # strips that are held for that
_PADDING = 128                         # what normalisation makes a 0 of, as in the training of PP-OCR


class Shape(NamedTuple):
    """What a network reads. height: of its strips. widths: that they may have, rising. squeezed: whether a strip fills
    its width whatever its proportion."""

    height: int
    widths: tuple[int, ...]
    squeezed: bool

    @classmethod
    def of(cls, taken: Input) -> Shape:
        """As a card has it: stretched to one size, or in proportion with grey behind it."""
        width, height = taken.size_wh
        if taken.resize == "stretch" or taken.fixed:
            return cls(height, (width,), taken.resize == "stretch")
        return cls(height, tuple(-(-round(height * share) // 8) * 8 for share in _WIDTHS), False)

    def fitted(self, strip: Image) -> tuple[Image, float]:
        """A strip (height,w,3) on the smallest of the widths that hold it, and the share of that which it takes."""
        width = next((width for width in self.widths if strip.shape[1] <= width), self.widths[-1])
        if self.squeezed or strip.shape[1] >= width:
            return stretch(strip, (width, self.height)).pixels, 1.0
        canvas = np.full((self.height, width, 3), _PADDING, np.uint8)
        canvas[:, : strip.shape[1]] = strip
        return canvas, strip.shape[1] / width


def read_strips(
    engine: Engine, strips: Iterable[Image], shape: Shape, characters: Characters
) -> Iterator[tuple[Reading, Floats]]:
    """Read strips (height,w,3) uint8 BGR in their order: each with its text, and where its characters stand along it,
    (K,) float32 0..1.

    A few more than keep the device busy are under way at a time, and of each answer only the text is kept: memory does
    not grow with their number. Each has the smallest of a few widths, so that an engine compiles few graphs. What is
    not read surely is read again, twice, a little wider, or where strips are squeezed a little closer, and the surest
    reading is kept.
    """
    waiting = iter(strips)
    while some := list(islice(waiting, _TOGETHER)):
        answers = list(_once(engine, some, shape, characters))
        unsure = [i for i, (reading, _) in enumerate(answers) if reading.score < _SURE]
        again = [(i, look) for i in unsure for look in (_CLOSER if shape.squeezed else _WIDER)]
        looks = (_closer(some[i], look) if shape.squeezed else _wider(some[i], look) for i, look in again)
        for (i, _), answer in zip(again, _once(engine, looks, shape, characters), strict=True):
            answers[i] = max(answers[i], answer, key=lambda one: one[0].score)
        yield from answers


def _wider(strip: Image, factor: float) -> Image:
    return stretch(strip, (round(strip.shape[1] * factor), strip.shape[0])).pixels


def _closer(strip: Image, share: float) -> Image:
    edge = round(strip.shape[0] * share)
    return strip[edge:-edge, edge:-edge] if strip.shape[1] > 4 * edge else strip


def _once(
    engine: Engine, strips: Iterable[Image], shape: Shape, characters: Characters
) -> Iterator[tuple[Reading, Floats]]:
    begun: deque[tuple[Future[Outputs], float]] = deque()

    def oldest() -> tuple[Reading, Floats]:
        future, share = begun.popleft()
        probs = future.result()[0][0]                                # (T,C)
        reading = characters.read(probs)
        places = (np.asarray(reading.steps, np.float32) + 0.5) / max(len(probs) * share, 1e-6)
        return reading, places.clip(0, 1)

    for strip in strips:
        pixels, share = shape.fitted(strip)
        begun.append((engine.submit(pixels[None]), share))
        if len(begun) > 2 * engine.in_flight:
            yield oldest()
    while begun:
        yield oldest()


def words_of(text: str, places: Floats) -> list[tuple[str, float, float]]:
    """The words of a line that was read, each with where it begins and ends along the line, 0..1.

    places: (K,) where each character stands. The outer words reach to the line's ends.
    """
    words: list[tuple[str, float, float]] = []
    gaps = [i for i, character in enumerate(text) if character.isspace()]
    steps = np.diff(places)
    half = 0.6 * float(np.median(steps)) if len(steps) else 0.0      # of a character, and a little
    for begin, end in zip([-1, *gaps], [*gaps, len(text)], strict=True):
        if end - begin < 2:                                          # two spaces, or one at an end
            continue
        left = max(places[begin], places[begin + 1] - half) if begin >= 0 else 0.0
        right = min(places[end], places[end - 1] + half) if end < len(text) else 1.0
        words.append((text[begin + 1 : end], float(left), float(max(left, right))))
    return words
