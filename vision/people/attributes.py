"""What a small network guesses of a face: expression, age, how the gender presents. Guesses, no facts: see `LIMITS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from vision.drawing import Canvas, colour, paint
from vision.people.cascade import Crop
from vision.people.face import Faces
from vision.tasks.model import Model
from vision.types import Floats, Image, Ints, Names, _Rows

EXPRESSIONS: Names = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
ASKABLE: Names = ("expression", "age", "gender")
LIMITS = (
    "a small network's guesses from one look at a face: an expression is not a feeling, an age may be ten years off, "
    "and how a gender presents is not what somebody is"
)
# years: of pictures of one person from other films, measured here; of a mean error of 4.54 years, as its author reports
_SCATTER, _PUBLISHED = 6.0, 5.7
_IN_80 = 1.2816                 # standard deviations on either side, which hold four in five
_SURE = {"expression": 0.5, "gender": 0.8}                 # of a probability: below it nothing is said


@dataclass(frozen=True, eq=False, repr=False)
class Attributes(_Rows):
    """What is guessed of the faces of a frame, row by row as `Faces` has them. NaN: not guessed.

    boxes: (N,4) float32, xyxy in frame pixels. ids: (N,) int64, the face's id, 0 on a picture.
    expressions: (N,7) float32 in 0..1, in the order of `EXPRESSIONS`.
    ages: (N,) float32, years. margins: (N,) float32, years: four in five ages should lie within so many of the guess,
        if the network is as good on these faces as on those that it was measured on.
    masculine: (N,) float32 in 0..1, how masculine the gender presents, 0 feminine, as the network guesses it.
    asked: which of `ASKABLE` are told.
    """

    boxes: Floats
    ids: Ints
    expressions: Floats
    ages: Floats
    margins: Floats
    masculine: Floats
    asked: tuple[str, ...] = tuple(ASKABLE)

    columns: ClassVar[Names] = (
        "expression", "expression_score", "age_guess", "age_low", "age_high", "gender_guess", "gender_score",
    )                                                                               # fmt: skip

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        "boxes": (np.float32, (-1, 4)),
        "ids": (np.int64, (-1,)),
        "expressions": (np.float32, (-1, len(EXPRESSIONS))),
        "ages": (np.float32, (-1,)),
        "margins": (np.float32, (-1,)),
        "masculine": (np.float32, (-1,)),
    }

    def __getitem__(self, index: Any) -> Attributes:
        return replace(super().__getitem__(index), asked=self.asked)

    def expression(self, row: int) -> str:
        """The expression of a face; `unsure` where none is likely enough, empty where none was guessed."""
        best = self.expressions[row]
        if not np.isfinite(best).all():
            return ""
        return EXPRESSIONS[int(best.argmax())] if best.max() >= _SURE["expression"] else "unsure"

    def gender(self, row: int) -> str:
        """How the gender of a face presents: masculine, feminine or unsure; empty where that was not guessed."""
        share = float(self.masculine[row])
        if not np.isfinite(share):
            return ""
        sure = max(share, 1 - share) >= _SURE["gender"]
        return ("masculine" if share > 0.5 else "feminine") if sure else "unsure"

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`{"objects": [{"label", "class_id", "box", "id", "expression", "expression_score", "age": {"guess", "low",
        "high"}, "gender_guess", "gender_score"}, ...]}`: what was asked for and guessed."""
        entries = []
        for i, box in enumerate(self.boxes.tolist()):
            entry: dict[str, Any] = {"label": "face", "class_id": 0, "box": [round(v, 2) for v in box]}
            if self.ids[i]:
                entry["id"] = int(self.ids[i])
            if "expression" in self.asked and (word := self.expression(i)):
                entry |= {"expression": word, "expression_score": round(float(self.expressions[i].max()), 2)}
            if "age" in self.asked and np.isfinite(self.ages[i]):
                age, margin = float(self.ages[i]), float(self.margins[i])
                entry["age"] = {"guess": round(age), "low": round(max(0.0, age - margin)), "high": round(age + margin)}
            if "gender" in self.asked and (word := self.gender(i)):
                share = float(self.masculine[i])
                entry |= {"gender_guess": word, "gender_score": round(max(share, 1 - share), 2)}
            entries.append(entry)
        return {"objects": entries}


@paint.register
def _(result: Attributes, canvas: Canvas, names: Names) -> None:
    """Draw faces on a canvas: a box each, with what is guessed."""
    for i, (row, entry) in enumerate(zip(result.boxes.tolist(), result.to_dict()["objects"], strict=True)):
        words = [entry.get("expression", ""), entry.get("gender_guess", "")]
        if "age" in entry:
            words.insert(1, f"{entry['age']['low']}-{entry['age']['high']} years?")
        said = canvas.say(id=int(result.ids[i]), name=" ".join(filter(None, words)))
        canvas.box(row, colour(int(result.ids[i])), said)


class AttributeGuesser(Model):
    """Guesses from faces. `AttributeGuesser.load()` makes one.

    engine: (B,112,112,3) uint8 to expressions (B,7), years (B,1) and probabilities of male and female (B,2).
    """

    task = "attributes"

    def __call__(self, image: Image, faces: Faces) -> Attributes:
        """What is guessed of the faces in `image` (H,W,3) uint8 BGR."""
        return self.submit([image], [faces])()[0]

    def submit(self, images: Sequence[Image], faces: Sequence[Faces]) -> Callable[[], list[Attributes]]:
        """Start on the faces of each image; the function that comes back waits, and gives what is guessed of each: the
        mean of two looks, one of them at the mirror image.

        images: (H,W,3) uint8 BGR each; they must not change until then. faces: those of each.
        """
        size = self.card.input.size_wh[0]
        asked = []
        for image, some in zip(images, faces, strict=True):
            crops = [_crop(box).view(image, size).pixels for box in some.boxes.tolist()]
            asked.append([
                self.engine.submit(np.ascontiguousarray(one)[None]) for crop in crops for one in (crop, crop[:, ::-1])
            ])

        def collect() -> list[Attributes]:
            answers = [[future.result() for future in futures] for futures in asked]
            return [_attributes(some, found) for some, found in zip(faces, answers, strict=True)]

        return collect


def _crop(box: Sequence[float]) -> Crop:
    left, top, right, bottom = box
    return Crop(((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top, 1.0))


def _attributes(faces: Faces, answers: Sequence[Sequence[Floats]]) -> Attributes:
    if not len(faces):
        return Attributes.empty()
    mood, years, gender = (np.stack([one[k][0] for one in answers]) for k in range(3))
    looks = years[:, 0].reshape(-1, 2)
    return Attributes(
        faces.boxes, faces.ids, mood.reshape(-1, 2, mood.shape[1]).mean(axis=1), looks.mean(axis=1),
        margins(looks.std(axis=1)), gender[:, 0].reshape(-1, 2).mean(axis=1),
    )


def margins(spread: Floats) -> Floats:
    """Years within which four in five ages should lie, from the standard deviation (N,) of several looks."""
    return np.asarray(_IN_80 * np.sqrt(_SCATTER**2 + _PUBLISHED**2 + np.square(spread)), np.float32)
