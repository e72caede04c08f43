"""Results on pictures: one function, dispatched on the result's type."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import cv2
import numpy as np

from vision.errors import UsageError
from vision.types import Action, ClassMap, Detections, Image, Names, Scores, Tracks
from vision.view import checked_image

Colour = tuple[int, int, int]
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(result: Any, image: Image, names: Names = ()) -> Image:
    """The result drawn on a copy of `image` (H,W,3) uint8 BGR, with the classes' `names`. Raises UsageError
    for another picture, TypeError for a result that nothing draws."""
    canvas = checked_image(image).copy()
    paint(result, canvas, names)
    return canvas


# ten hues that stay apart, for a person who sees few colours too; BGR
_PALETTE: tuple[Colour, ...] = (
    (180, 119, 31), (14, 127, 255), (44, 160, 44), (40, 39, 214), (189, 103, 148),
    (75, 86, 140), (194, 119, 227), (0, 215, 255), (34, 189, 188), (207, 190, 23),
)


def colour(key: int) -> Colour:
    """A BGR colour for a class or an id: always the same one, and far from its neighbours'."""
    return _PALETTE[key % len(_PALETTE)]


def unit(image: Image) -> float:
    """How large things are drawn on this picture: 1.0 where its shorter side has 480 pixels."""
    return float(max(0.5, min(image.shape[0], image.shape[1]) / 480))


def label(image: Image, text: str, corner: tuple[int, int], ground: Colour) -> None:
    """`text` on a filled patch whose lower left corner is `corner`, moved inside the picture."""
    size = unit(image)
    scale, thick, pad = 0.45 * size, max(1, round(size)), round(3 * size)
    (w, h), base = cv2.getTextSize(text, _FONT, scale, thick)
    left = int(np.clip(corner[0], 0, max(0, image.shape[1] - w - 2 * pad)))
    bottom = int(np.clip(corner[1], h + base + pad, image.shape[0]))
    cv2.rectangle(image, (left, bottom - h - base - pad), (left + w + 2 * pad, bottom), ground, cv2.FILLED)
    luminance = 0.114 * ground[0] + 0.587 * ground[1] + 0.299 * ground[2]
    ink = (0, 0, 0) if luminance > 120 else (255, 255, 255)
    cv2.putText(image, text, (left + pad, bottom - base), _FONT, scale, ink, thick, cv2.LINE_AA)


def _boxes(detections: Detections, image: Image, texts: list[str], colours: list[Colour]) -> None:
    thick = max(1, round(2 * unit(image)))
    corners = np.rint(detections.boxes).astype(int).tolist()
    for (left, top, right, bottom), shade in zip(corners, colours, strict=True):
        cv2.rectangle(image, (left, top), (right, bottom), shade, thick)
    for (left, top, _, _), text, shade in zip(corners, texts, colours, strict=True):
        label(image, text, (left - thick // 2, top), shade)


def class_name(names: Names, i: int) -> str:
    """The name of a class, its number where it has none."""
    return names[i] if 0 <= i < len(names) else str(i)


@singledispatch
def paint(result: Any, image: Image, names: Names) -> None:
    """Draw on `image` itself. A type of result joins by `@paint.register`."""
    raise TypeError(f"there is no drawing for {type(result).__name__}")


@paint.register
def _(result: Detections, image: Image, names: Names) -> None:
    classes = result.labels.tolist()
    texts = [f"{class_name(names, c)} {s:.2f}" for c, s in zip(classes, result.scores.tolist(), strict=True)]
    _boxes(result, image, texts, [colour(c) for c in classes])


@paint.register
def _(result: Tracks, image: Image, names: Names) -> None:
    ids = result.ids.tolist()
    texts = [f"{i} {class_name(names, c)}" for i, c in zip(ids, result.labels.tolist(), strict=True)]
    _boxes(result, image, texts, [colour(i) for i in ids])


@paint.register
def _(result: Scores, image: Image, names: Names) -> None:
    line = round(22 * unit(image))
    for row, (i, p) in enumerate(result.top(3)):
        label(image, f"{class_name(names, i)} {p:.2f}", (line // 3, line * (row + 1) + line // 3), colour(i))


def class_colour(label: int) -> Colour:
    """The colour of a class on a map: `colour`, darker where that begins again."""
    b, g, r = colour(label)
    dim = 0.55 ** (label // len(_PALETTE))
    return round(b * dim), round(g * dim), round(r * dim)


@paint.register
def _(result: ClassMap, image: Image, names: Names) -> None:
    if result.labels.shape != image.shape[:2]:
        raise UsageError(
            f"a class map is drawn on its own frame, {result.labels.shape}; this one is {image.shape[:2]}"
        )
    areas = result.areas()
    palette = np.array([*(class_colour(c) for c in range(255)), (0, 0, 0)], np.uint8)
    tinted = cv2.addWeighted(image, 0.5, np.take(palette, result.labels, axis=0), 0.5, 0)
    np.copyto(image, tinted, where=(result.labels != 255)[..., None])
    line = round(22 * unit(image))
    largest = [c for c in np.argsort(-areas[:255], kind="stable").tolist() if areas[c] >= 0.001]
    for row, c in enumerate(largest[: max(1, image.shape[0] // line - 1)]):
        text = f"{class_name(names, c)} {areas[c]:.1%}"
        label(image, text, (line // 3, line * (row + 1) + line // 3), class_colour(c))


@paint.register
def _(result: Action, image: Image, names: Names) -> None:
    line = round(22 * unit(image))
    place = (line // 3, line + line // 3)
    if result.label < 0:
        label(image, "idle", place, (90, 90, 90))
    else:
        what = f"{class_name(names, result.label)} {result.probs[result.label]:.2f}"
        label(image, f"{what}  {result.end - result.start:.1f} s", place, colour(result.label))
