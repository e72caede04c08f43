"""What is written in a picture: pieces of text are found, straightened, read, and put into the order of reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from vision import zoo
from vision.card import Card
from vision.engine import Engine
from vision.errors import UsageError
from vision.inside import card_inside
from vision.people.cascade import Cascade
from vision.text import quads
from vision.text.cards import reader_card
from vision.text.ctc import ALPHABETS, Characters, Reading
from vision.text.finder import TextFinder
from vision.text.found import TextQuads
from vision.text.lexicon import Lexicon
from vision.text.lines import Texts
from vision.text.order import reading_order
from vision.text.strips import Shape, read_strips, words_of
from vision.types import Floats, Image
from vision.view import checked_image
from vision.weights import resolve


class Piece(NamedTuple):
    """A piece of text that was read: its text, how sure, where its characters stand along it, 0..1, and its quad,
    turned so that it begins where the text does."""

    reading: Reading
    places: Floats
    quad: Floats


class TextReader(Cascade):
    """Reads text in pictures. `TextReader.load()` makes one.

    detector: finds pieces of text. engine: takes strips (B,h,w,3) uint8 BGR and returns the probabilities of the
    characters along them, (B,T,C), the first class a blank. card: of the engine; its names are the characters.
    """

    task = "text"
    finder = TextFinder

    def __init__(self, detector: Any, engine: Engine, card: Card) -> None:
        super().__init__(detector, engine, card)
        self.shape = Shape.of(card.input)

    @classmethod
    def load(
        cls, model: str | Path | Card = "default", device: str = "auto", precision: str = "auto", backend: str = "auto",
        detector: str | Path | Card = "default",
    ) -> Self:
        """A reader by name (`vision models`), of a `.safetensors` that `vision train text` wrote, or of an `.onnx` file
        of PP-OCR. detector: by name, or an `.onnx` file of DB or EAST. The rest is as in `Cascade.load`."""
        if not isinstance(model, Card) and Path(model).suffix == ".onnx":
            model = card_inside(Path(model)) or reader_card(Path(model))
        card = zoo.find(model, cls.task)
        if not card.classes:                                         # the file says what it can read
            model = replace(card, names=reader_card(resolve(card)).names)
        return super().load(model, device, precision, backend, detector)

    def __call__(
        self, image: Image, *, min_score: float | None = None, min_text: float | None = None, turned: bool = False,
        alphabet: str | None = None, lexicon: Lexicon | None = None,
    ) -> Texts:
        """The text in `image` (H,W,3) uint8 BGR; the arguments are `submit`'s."""
        return self.submit(
            [image], min_score=min_score, min_text=min_text, turned=turned, alphabet=alphabet, lexicon=lexicon)()[0]

    def submit(
        self, images: Sequence[Image], *, min_score: float | None = None, min_text: float | None = None,
        turned: bool = False, alphabet: str | None = None, lexicon: Lexicon | None = None, cover: bool = False,
    ) -> Callable[[], list[Texts]]:
        """Start on pictures, and do not wait.

        images: (H,W,3) uint8 BGR each, of any sizes.
        min_score: the least score of a piece that is read, 0..1; the finder's own unless given.
        min_text: the least score of a reading, 0..1; the card's own unless given.
        turned: also read each piece upside down, and keep what is surer.
        alphabet: the characters that may be read: latin, capitals (with digits), digits, or themselves; all that the
            network knows unless given.
        lexicon: words that are likely: a word that is none of them becomes one, where that is nearly as probable.
        cover: also give all the places where text was found, read or not, as `Texts.covered`.

        Returns a function that waits and returns one result a picture. Raises UsageError for another picture, an
        option outside its range, or characters that the network does not know.
        """
        characters = self.characters(alphabet, lexicon)
        least = self.card.min_score if min_text is None else min_text
        if not 0 <= least <= 1:
            raise UsageError(f"min_text lies in 0..1; got {min_text}")
        wait = self.detector.submit(images, min_score=min_score)

        def texts(image: Image, found: TextQuads) -> Texts:
            pieces = self.read(image, found.quads, turned=turned, characters=characters)
            return replace(laid_out(pieces, least), covered=found.quads if cover else None)

        return lambda: [texts(image, found) for image, found in zip(images, wait(), strict=True)]

    def characters(self, alphabet: str | None = None, lexicon: Lexicon | None = None) -> Characters:
        """What the network may read, as `submit` has it. Raises UsageError."""
        known = Characters(self.names, lexicon=lexicon)
        return known if alphabet is None else known.only(ALPHABETS.get(alphabet, alphabet))

    def read(
        self, image: Image, pieces: Floats, *, turned: bool = False, characters: Characters | None = None
    ) -> list[Piece]:
        """Read what stands in quads (N,4,2) of `image`, each by itself. One that is tall is read from below and from
        above, and what is surer is kept. turned: read each upside down too. characters: those that may be read."""
        ways = [_ways(quad, turned) for quad in pieces]
        height, widest = self.shape.height, self.shape.widths[-1]
        strips = (quads.upright(image, quad, height, widest) for way in ways for quad in way)
        answers = read_strips(self.engine, strips, self.shape, characters or Characters(self.names))
        return [
            max((Piece(*next(answers), quad) for quad in way), key=lambda piece: piece.reading.score) for way in ways
        ]

    def words(
        self, images: Iterable[Image], *, alphabet: str | None = None, lexicon: Lexicon | None = None
    ) -> Iterator[Reading]:
        """Read pictures that are one word or one line each, (H,W,3) uint8 BGR, one after another: memory does not grow
        with their number. alphabet, lexicon: as in `submit`. Raises UsageError for another picture."""
        strips = (self._strip(checked_image(image)) for image in images)
        characters = self.characters(alphabet, lexicon)
        return (reading for reading, _ in read_strips(self.engine, strips, self.shape, characters))

    def _strip(self, image: Image) -> Image:
        height, width = image.shape[:2]
        whole = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        return quads.upright(image, _ways(whole, False)[0], self.shape.height, self.shape.widths[-1])


def _ways(quad: Floats, turned: bool) -> list[Floats]:
    """The quads to read a piece by: its own; of a tall one those that are turned by a quarter."""
    along, across = quads.sides(quad[None])[0].tolist()
    if across > quads.TALL * along:
        return [np.roll(quad, 1, axis=0), np.roll(quad, -1, axis=0)]      # from below, from above
    return [quad, np.roll(quad, 2, axis=0)] if turned else [quad]


def laid_out(pieces: Sequence[Piece], min_text: float, ids: Sequence[int] | None = None) -> Texts:
    """The words of pieces whose readings score `min_text` or more, in reading order. ids: of each piece."""
    numbers = [0] * len(pieces) if ids is None else ids
    held = [(piece, i) for piece, i in zip(pieces, numbers, strict=True)
            if piece.reading.text.strip() and piece.reading.score >= min_text]
    order, lines, blocks = reading_order(np.array([piece.quad for piece, _ in held], np.float32).reshape(-1, 4, 2))
    rows: list[tuple[Any, ...]] = [
        (quads.part(held[k][0].quad, begin, end), word, held[k][0].reading.score, line, block, held[k][1])
        for k, line, block in zip(order.tolist(), lines.tolist(), blocks.tolist(), strict=True)
        for word, begin, end in words_of(held[k][0].reading.text, held[k][0].places)
    ]
    columns: list[Any] = list(zip(*rows, strict=True))
    return Texts(*columns).rounded() if rows else Texts.empty()
