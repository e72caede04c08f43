"""Made words: text set in the fonts of this machine, bent, coloured, blurred and squeezed as on photographs of
streets and shops (after Jaderberg et al. 2014), so that a reader of words can learn before it has seen one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from vision.data.files import text_of
from vision.errors import DataError
from vision.types import Floats, Image

FONTS = Path("/usr/share/fonts")
WORDS = Path("/usr/share/dict/words")
T = TypeVar("T")
_SIZE = 36                             # pixels of the fonts; what comes out is smaller
_LENGTHS = (2, 8, 14, 17, 15, 12, 10, 8, 6, 4, 2, 1, 1)           # how many words on signs have 1, 2, ... characters
_MIXED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_NUMBERS = ("{}", "{}", "{}", "${}", "{}%", "#{}", "{}:00", "{}.50", "{}-{}", "+{}", "({})")
_SIGNS = ("&", "-", "'s", "!", ".", ",", ":", "?", "%", "*", '"')


class Typesetter:
    """Makes word pictures.

    fonts: a folder, searched through, or font files (TTF, OTF). words: a file with a word a line.
    Raises DataError where there is no font with Latin letters, or no word.
    """

    def __init__(self, fonts: Path | Sequence[Path] = FONTS, words: Path = WORDS) -> None:
        files = [fonts] if isinstance(fonts, Path) and fonts.is_file() else fonts
        if isinstance(files, Path):
            files = sorted(path for path in files.rglob("*") if path.suffix.lower() in (".ttf", ".otf"))
        self.fonts = tuple(path for path in files if _is_latin(path))
        if not self.fonts:
            raise DataError(f"{str(fonts)!r} has no font (.ttf, .otf) with Latin letters. On Debian: apt install "
                            "fonts-dejavu fonts-liberation fonts-lato fonts-roboto-unhinted, or give --fonts FOLDER.")
        if not words.is_file():
            raise DataError(f"there is no list of words {str(words)!r}. On Debian: apt install wamerican, or give "
                            "--words FILE with a word a line.")
        self._by_length: dict[int, list[str]] = {}
        for word in text_of(words).split():
            if word.isascii():
                self._by_length.setdefault(len(word), []).append(word)
        if not self._by_length:
            raise DataError(f"{str(words)!r} has no word of Latin letters. Give a file with a word a line.")

    def text(self, random: np.random.Generator) -> str:
        """A word as signs have them: of the list in some case, a number, a price, a time."""
        kind = random.random()
        if kind < 0.1:
            return _number(random)
        if kind < 0.16:
            return "".join(_one(_MIXED, random) for _ in range(random.integers(1, 8)))
        wanted = int(np.searchsorted(np.cumsum(_LENGTHS), random.uniform(0, sum(_LENGTHS)), "right")) + 1
        word = _one(self._by_length[min(self._by_length, key=lambda one: abs(one - wanted))], random)
        case = random.random()
        word = word.upper() if case < 0.45 else word.capitalize() if case < 0.75 else word
        return word + _one(_SIGNS, random) if random.random() < 0.08 else word

    def picture(self, text: str, random: np.random.Generator) -> Image:
        """A crop (H,W,3) uint8 BGR that shows `text`, 10 to 40 pixels high."""
        font = _font(_one(self.fonts, random))
        ink = _bent(_set(text, font, random), random)
        ground, colour = _colours(random)
        height, width = ink.shape[:2]
        picture = _texture(height, width, random) + ground
        if random.random() < 0.25:                                      # a shadow, or a rim of light
            dx, dy = random.integers(-2, 3, 2).tolist()
            shade = np.roll(ink, (dy, dx), (0, 1))[..., None] * random.uniform(0.3, 0.9)
            picture = picture * (1 - shade) + shade * _one((0.0, 30.0, 255.0), random)
        picture = picture * (1 - ink[..., None]) + ink[..., None] * colour
        return _photographed(picture.astype(np.float32), random)


def _is_latin(path: Path) -> bool:
    """Whether a font's letters look like letters: like those of Pillow's own font, with what fonts vary in allowed."""
    try:
        font = _font(path)
        likeness = [float((_glyph(font, one) * _glyph(None, one)).sum()) for one in "HOTLEX"]
        return float(np.mean(likeness)) > 0.1 and all(_glyph(font, one).any() for one in "ag5")
    except (OSError, ValueError):
        return False


def _glyph(font: ImageFont.FreeTypeFont | None, character: str) -> Floats:
    """A character as large as 24 by 24 pixels, of mean 0 and length 1; nothing but 0 where a font has none."""
    mask = (font or _own_font()).getmask(character)
    values = np.array(mask, np.float32).reshape(mask.size[::-1])
    rows, columns = np.nonzero(values > 100)
    if not len(rows):
        return np.zeros((24, 24), np.float32)
    ink = values[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    whole = cv2.resize(ink, (24, 24), interpolation=cv2.INTER_AREA)
    whole = whole - whole.mean()
    return np.asarray(whole / max(float(np.linalg.norm(whole)), 1e-6), np.float32)


@lru_cache(1)
def _own_font() -> Any:
    return ImageFont.load_default(_SIZE)


@lru_cache(512)
def _font(path: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), _SIZE)


def _one(of: Sequence[T], random: np.random.Generator) -> T:
    return of[int(random.integers(len(of)))]


def _number(random: np.random.Generator) -> str:
    return _one(_NUMBERS, random).replace("{}", str(random.integers(10 ** random.integers(1, 6))))


def _set(text: str, font: ImageFont.FreeTypeFont, random: np.random.Generator) -> Floats:
    """The ink of a line of text, (H,W) float32 0..1, with a margin of an em quarter around."""
    gap = float(random.normal(0, 1.5)) if random.random() < 0.4 else 0.0
    stroke = int(random.integers(1, 3)) if random.random() < 0.2 else 0
    advance = [font.getlength(character) + gap for character in text]
    left, top, right, bottom = font.getbbox(text, stroke_width=stroke)
    margin = _SIZE // 4
    width = int(max(right - left, sum(advance))) + 2 * margin
    canvas = Pillow.new("L", (max(width, 8), int(bottom - top) + 2 * margin))
    draw = ImageDraw.Draw(canvas)
    if gap:
        x = margin - left
        for character, step in zip(text, advance, strict=True):
            draw.text((x, margin - top), character, 255, font, stroke_width=stroke)
            x += step
    else:
        draw.text((margin - left, margin - top), text, 255, font, stroke_width=stroke)
    return np.asarray(canvas, np.float32) / np.float32(255)


def _bent(ink: Floats, random: np.random.Generator) -> Floats:
    """Seen from somewhere else: turned, sheared, in perspective, now and then along a curve; cut around the text."""
    height, width = ink.shape
    if random.random() < 0.15:
        x = np.arange(width, dtype=np.float32)
        phase = x / width * np.pi * random.uniform(0.7, 1.5) + random.uniform(0, 3)
        swing = random.uniform(1, height / 6) * np.sin(phase)
        down = np.arange(height, dtype=np.float32)[:, None] + swing[None].astype(np.float32)
        ink = cv2.remap(ink, np.broadcast_to(x, down.shape).copy(), down, cv2.INTER_LINEAR)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    shift = random.normal(0, 0.06, (4, 2)) * height
    angle = np.radians(random.normal(0, 3.5))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (corners - corners.mean(0)) @ turn.T + shift
    moved[:2, 0] += random.normal(0, 0.15) * height                     # sheared
    moved -= moved.min(0)
    size = np.ceil(moved.max(0)).astype(int)
    warp = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    ink = cv2.warpPerspective(ink, warp, (int(size[0]), int(size[1])))
    rows, columns = (np.flatnonzero(ink.max(axis) > 0.2) for axis in (1, 0))
    if not len(rows):
        return ink
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    loose = (random.uniform(-0.04, 0.18, 4) * (bottom - top)).astype(int)
    return ink[max(0, top - loose[0]): bottom + max(loose[1], 0), max(0, left - loose[2]): right + max(loose[3], 0)]


def _colours(random: np.random.Generator) -> tuple[Floats, Floats]:
    """Ground and ink, BGR, far enough apart to be read."""
    while True:
        ground, ink = np.asarray(random.uniform(0, 255, (2, 3)), np.float32)
        if random.random() < 0.5:                                       # paint is often grey
            ground, ink = ground.mean() + (ground - ground.mean()) * 0.2, ink.mean() + (ink - ink.mean()) * 0.2
        if abs(float(ground.mean() - ink.mean())) > random.uniform(25, 120):
            return ground, ink


def _texture(height: int, width: int, random: np.random.Generator) -> Floats:
    """(H,W,3) float32 around 0: light that changes over the ground, and now and then an edge."""
    coarse = random.normal(0, random.uniform(0, 25), (int(random.integers(2, 5)), int(random.integers(2, 8)), 3))
    texture = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    if random.random() < 0.25:
        points = random.uniform(-0.2, 1.2, (2, 2)) * (width, height)
        ends = [tuple(map(int, point)) for point in points]
        level: Any = float(random.normal(0, 70))
        cv2.line(texture, ends[0], ends[1], (level, level, level), int(random.integers(1, max(2, height // 3))))
    return np.asarray(texture, np.float32)


def _photographed(picture: Floats, random: np.random.Generator) -> Image:
    """From far away, out of focus or shaken, in little light, as a JPEG."""
    height, width = picture.shape[:2]
    small = float(np.exp(random.uniform(np.log(11), np.log(40)))) / height
    size = max(4, round(width * small * random.uniform(0.8, 1.2))), max(8, round(height * small))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    blur = random.random()
    if blur < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.1, 0.05 * size[1]))
    elif blur < 0.5 and size[1] > 20:
        shaken = np.zeros((5, 5), np.float32)
        cv2.line(shaken, (0, int(random.integers(5))), (4, int(random.integers(5))), 1.0)
        picture = cv2.filter2D(picture, -1, shaken / shaken.sum())
    picture = picture + random.normal(0, random.uniform(0, 12), picture.shape).astype(np.float32)
    made = np.asarray(picture.clip(0, 255), np.uint8)
    if random.random() < 0.5:
        packed = cv2.imencode(".jpg", made, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(30, 95))])[1]
        made = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(made, np.uint8)
