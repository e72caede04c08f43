"""Results on pictures: one function, dispatched on the result's type, and labels that cover nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache, singledispatch
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.spec import Described, Option, nearest, spec
from vision.state import State
from vision.types import Action, ClassMap, Detections, Floats, Image, Names, Scores, Tracks
from vision.view import checked_image

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]          # left, top, right, bottom in pixels
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SMALLEST = 0.55                                 # scale of the font: capitals of 11 pixels
_MAY_COVER = 0.4                                 # of another box: a label that would cover more is left out
_MOST = 300                                      # labels on one picture
_SAYINGS = ("id", "name", "score")


@spec
class Style(Described):
    """How results are drawn."""

    labels: Annotated[tuple[str, ...], Option(
        "what labels say: some of id, name, score; or none", separator=",")] = _SAYINGS
    trails: Annotated[float, Option("how much of its path is drawn behind a track; 0: none", "seconds", min=0)] = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for word in self.labels:
            if word not in (*_SAYINGS, "none"):
                raise UsageError(f"labels say id, name, score or none; got {word!r}. {nearest(word, _SAYINGS)}")


def draw(result: Any, image: Image, names: Names = (), style: Style | None = None) -> Image:
    """Draw a result on a copy of a picture.

    result: what a task found. image: (H,W,3) uint8 BGR. names: of the classes, by label. style: what labels say, and
    more; see `Style`. Returns the copy. Raises UsageError for another picture, TypeError for a result that
    nothing draws.
    """
    canvas = Canvas(checked_image(image).copy(), style)
    paint(result, canvas, names)
    return canvas.finished()


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


def label(image: Image, text: str, corner: tuple[float, float], ground: Colour) -> None:
    """`text` on a filled patch whose lower left corner is `corner`, moved inside the picture."""
    patch = _patch(text, unit(image), ground)
    _put(image, patch, corner[0], corner[1] - patch.shape[0])


@lru_cache(maxsize=256)
def _patch(text: str, size: float, ground: Colour) -> Image:
    """A label by itself: (h,w,3)."""
    return np.asarray(np.concatenate([_word(word, size, ground) for word in text.split() or ['']], axis=1), np.uint8)


@lru_cache(maxsize=1024)
def _word(text: str, size: float, ground: Colour) -> Image:
    """A word of a label: (h,w,3), h the same for all. The words of a film come again and again."""
    scale, thick, pad = max(_SMALLEST, 0.45 * size), max(1, round(size)), max(2, round(2 * size))
    (_, h), base = cv2.getTextSize("0g", _FONT, scale, thick)
    (w, _), _ = cv2.getTextSize(text, _FONT, scale, thick)
    below = max(1, base // 2)
    patch = np.full((h + below + 2 * pad, w + 2 * pad, 3), ground, np.uint8)
    luminance = 0.114 * ground[0] + 0.587 * ground[1] + 0.299 * ground[2]
    ink = (0, 0, 0) if luminance > 120 else (255, 255, 255)
    return np.asarray(cv2.putText(patch, text, (pad, pad + h), _FONT, scale, ink, thick, cv2.LINE_AA), np.uint8)


def _put(image: Image, patch: Image, left: float, top: float) -> None:
    """Copy a patch into the picture, moved inside it, and cut where it is larger."""
    (h, w), (height, width) = patch.shape[:2], image.shape[:2]
    x, y = round(min(max(0, left), max(0, width - w))), round(min(max(0, top), max(0, height - h)))
    target = image[y : y + h, x : x + w]
    target[:] = patch[: target.shape[0], : target.shape[1]]


class Canvas:
    """A picture that results are drawn on. Labels are placed last, when everything that they must not cover is known.

    image: (H,W,3) uint8 BGR, drawn on itself. unit: how large things are drawn, as `unit`. style: what labels say.
    """

    def __init__(self, image: Image, style: Style | None = None) -> None:
        self.image, self.unit, self.style = image, unit(image), style or Style()
        self._line = self.thick()
        self._legend: list[tuple[str, Colour]] = []
        self._labels: list[tuple[str, Box, Colour, bool]] = []
        self._boxes: list[Sequence[float]] = []

    def thick(self, pixels: float = 2.0) -> int:
        """A line's width: so many pixels where the picture's shorter side has 480."""
        return max(1, round(pixels * self.unit))

    def say(self, *, id: int = 0, name: str = "", score: float | None = None, form: str = ".2f") -> str:
        """The text of a label: of id (0: none), name and score what the style asks for."""
        parts = {"id": str(id or ""), "name": name, "score": "" if score is None else format(score, form)}
        return " ".join(parts[word] for word in _SAYINGS if word in self.style.labels and parts[word])

    def box(self, box: Sequence[float], shade: Colour, text: str = "") -> None:
        """A rectangle (left, top, right, bottom in pixels) with its label."""
        left, top, right, bottom = box
        cv2.rectangle(self.image, (round(left), round(top)), (round(right), round(bottom)), shade, self._line)
        self.keep_free(box)
        self.label(text, (left, top, right, bottom), shade)

    def keep_free(self, box: Sequence[float]) -> None:
        """No label should cover what is in this box."""
        self._boxes.append(box)

    def label(self, text: str, box: Box, ground: Colour, *, must: bool = False) -> None:
        """A label of what is in `box`: above it, below it or within, where it covers no other label and little of other
        boxes; left out where there is no such place, unless it `must` be seen. An empty text is none."""
        if text.strip():
            self._labels.append((text, box, ground, must))

    def legend(self, text: str, ground: Colour) -> None:
        """A line at the picture's upper left, below those before it. An empty text is none."""
        if text.strip():
            self._legend.append((text, ground))

    def finished(self, *, mirror: bool = False) -> Image:
        """The picture, with all labels on it. mirror: left and right are exchanged, before labels are placed."""
        if mirror:
            self._turn_round()
        taken: list[Sequence[float]] = []
        height, width = self.image.shape[:2]
        left = top = self.thick(7)
        for text, ground in self._legend:
            patch = _patch(text, self.unit, ground)
            if taken and top + patch.shape[0] > height:
                break
            _put(self.image, patch, left, top)
            taken.append((left, top, left + patch.shape[1], top + patch.shape[0]))
            top += patch.shape[0] + 1
        labels = sorted(self._labels, key=lambda one: not one[3])[:_MOST]
        patches = [_patch(text, self.unit, ground) for text, _, ground, _ in labels]
        for (_, _, _, must), patch, places in zip(labels, patches, self._places(labels, patches), strict=True):
            fits = patch.shape[0] <= height and patch.shape[1] <= width
            free = (place for place in places if fits and not _overlap(place, taken))
            place = next(free, places[0] if must else None)
            if place is not None:
                _put(self.image, patch, place[0], place[1])
                taken.append(place)
        return self.image

    def _turn_round(self) -> None:
        """Exchange left and right of everything but texts."""
        width = self.image.shape[1]
        self.image = np.ascontiguousarray(self.image[:, ::-1])
        self._boxes = [(width - right, top, width - left, bottom) for left, top, right, bottom in self._boxes]
        self._labels = [(text, (width - right, top, width - left, bottom), ground, must)
                        for text, (left, top, right, bottom), ground, must in self._labels]

    def _places(self, labels: Sequence[Any], patches: Sequence[Image]) -> list[list[Sequence[float]]]:
        """Where each label may stand, inside the picture and at its box, that which covers least of other boxes first;
        none where too much of one is covered."""
        if not labels:
            return []
        height, width = self.image.shape[:2]
        own = np.array([box for _, box, _, _ in labels], np.float32)[:, None]                       # (N,1,4)
        size = np.array([patch.shape[1::-1] for patch in patches], np.float32)                      # (N,2)
        (left, top, right, bottom), (w, h) = own.transpose(2, 0, 1), size.T[..., None]
        end, above = right + 1 - w, top - h
        x = np.hstack([left, end, left, end, left, end])
        y = np.hstack([above, above, bottom + 1, bottom + 1, top, bottom - h])
        corner = np.stack([x, y], axis=-1).clip(0, np.maximum(0, (width, height) - size)[:, None])   # (N,6,2)
        spots = np.concatenate([corner, corner + size[:, None]], axis=-1)
        boxes = np.array(self._boxes, np.float32).reshape(-1, 4)
        low, high = np.maximum(spots[:, :, None, :2], boxes[:, :2]), np.minimum(spots[:, :, None, 2:], boxes[:, 2:])
        sides = np.maximum(high - low, 0)
        shares = sides[..., 0] * sides[..., 1] / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1)
        shares *= np.where((boxes != own).any(axis=2), 1, 0.5)[:, None]          # its own box is marked anyway
        worst = shares.max(axis=2, initial=0)                                                       # (N,6)
        order = np.argsort(worst + 0.01 * np.arange(6), axis=1)
        most = np.where([must for *_, must in labels], 2, _MAY_COVER)
        return [spots[n, row[worst[n, row] <= most[n]]].tolist() for n, row in enumerate(order)]


def _overlap(place: Sequence[float], taken: Sequence[Sequence[float]]) -> bool:
    left, top, right, bottom = place
    return any(left < r and right > x and top < b and bottom > t for x, t, r, b in taken)


class Trails:
    """Where the tracks of a stream were: `add` once a frame. seconds: how much of its path a track keeps."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._seen: dict[str, deque[tuple[float, npt.NDArray[np.int64], Floats]]] = {}

    def add(self, time: float, results: Mapping[str, Any]) -> dict[str, list[tuple[npt.NDArray[np.int64], Floats]]]:
        """Take the results of a frame in: for each key with tracks, the ids and feet (N,2) of the last frames."""
        paths = {}
        for key, result in results.items():
            if self.seconds and isinstance(result, Tracks):
                seen = self._seen.setdefault(key, deque())
                feet = np.stack([result.boxes[:, [0, 2]].mean(axis=1), result.boxes[:, 3]], axis=1)
                seen.append((time, result.ids, feet))
                while time - seen[0][0] > self.seconds:
                    seen.popleft()
                paths[key] = [(ids, feet) for _, ids, feet in seen]
        return paths

    def state(self) -> State:
        """All that it remembers: plain values and arrays."""
        return {key: [list(one) for one in seen] for key, seen in self._seen.items()}

    def restore(self, state: State) -> None:
        """Go on where `state` was asked for."""
        self._seen = {key: deque((t, np.asarray(ids, np.int64), np.asarray(feet, np.float32)) for t, ids, feet in seen)
                      for key, seen in state.items()}


def paint_trails(paths: Sequence[tuple[npt.NDArray[np.int64], Floats]], canvas: Canvas) -> None:
    """Draw the path of every track of the last frame."""
    ids, feet = np.concatenate([ids for ids, _ in paths]), np.concatenate([feet for _, feet in paths])
    if not len(ids):
        return
    order = np.argsort(ids, kind="stable")
    points = np.rint(feet[order] * 8).astype(np.int32)
    whose, starts = np.unique(ids[order], return_index=True)
    present = set(paths[-1][0].tolist())
    for i, path in zip(whose.tolist(), np.split(points, starts[1:]), strict=True):
        if i and i in present and len(path) > 1:                                 # 0: of a picture, no track
            cv2.polylines(canvas.image, [path], False, colour(i), canvas.thick(1.5), cv2.LINE_AA, shift=3)


def class_name(names: Names, i: int) -> str:
    """The name of a class, its number where it has none."""
    return names[i] if 0 <= i < len(names) else str(i)


@singledispatch
def paint(result: Any, canvas: Canvas, names: Names) -> None:
    """Draw on a canvas. A type of result joins by `@paint.register`."""
    raise TypeError(f"there is no drawing for {type(result).__name__}")


def _corners(boxes: Floats) -> list[list[float]]:
    """Boxes that OpenCV can draw, wherever they lie."""
    corners: list[list[float]] = np.nan_to_num(boxes).clip(-1e5, 1e5).tolist()
    return corners


@paint.register
def _(result: Detections, canvas: Canvas, names: Names) -> None:
    for box, c, score in zip(_corners(result.boxes), result.labels.tolist(), result.scores.tolist(), strict=True):
        canvas.box(box, colour(c), canvas.say(name=class_name(names, c), score=score))


@paint.register
def _(result: Tracks, canvas: Canvas, names: Names) -> None:
    columns = _corners(result.boxes), result.ids.tolist(), result.labels.tolist(), result.scores.tolist()
    for box, i, c, score in zip(*columns, strict=True):
        canvas.box(box, colour(i), canvas.say(id=i, name=class_name(names, c), score=score))


@paint.register
def _(result: Scores, canvas: Canvas, names: Names) -> None:
    for i, p in result.top(3):
        canvas.legend(canvas.say(name=class_name(names, i), score=p), colour(i))


def class_colour(label: int) -> Colour:
    """The colour of a class on a map: `colour`, darker where that begins again, twice; then it is mixed with another
    one. 150 classes have each their own."""
    turn = label // len(_PALETTE)
    dim = 0.55 ** (turn % 3)
    pairs = zip(colour(label), colour(label + turn // 3 % 5), strict=True)
    b, g, r = (round((one + other) / 2 * dim) for one, other in pairs)
    return b, g, r


@paint.register
def _(result: ClassMap, canvas: Canvas, names: Names) -> None:
    image = canvas.image
    if result.labels.shape != image.shape[:2]:
        (height, width), (h, w) = image.shape[:2], result.labels.shape
        raise UsageError(f"a class map is drawn on its own frame, {w}x{h} pixels; this one is {width}x{height}.")
    areas = result.areas()
    palette = np.array([*(class_colour(c) for c in range(255)), (0, 0, 0)], np.uint8)
    tinted = cv2.addWeighted(image, 0.5, np.take(palette, result.labels, axis=0), 0.5, 0)
    np.copyto(image, tinted, where=(result.labels != 255)[..., None])
    largest = [c for c in np.argsort(-areas[:255], kind="stable").tolist() if areas[c] >= 0.001]
    for c in largest:
        canvas.legend(canvas.say(name=class_name(names, c), score=areas[c], form=".1%"), class_colour(c))


@paint.register
def _(result: Action, canvas: Canvas, names: Names) -> None:
    if result.label < 0:
        canvas.legend(canvas.say(name="idle"), (90, 90, 90))
        return
    what = canvas.say(name=class_name(names, result.label), score=float(result.probs[result.label]))
    canvas.legend(f"{what}  {result.end - result.start:.1f} s" if what else "", colour(result.label))
