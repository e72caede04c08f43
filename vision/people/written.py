"""Vectors of faces as text: `NAME:LOOK`, as a request carries them."""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from vision.errors import UsageError
from vision.people.gallery import Gallery
from vision.types import Floats

_MOST = 1000                                             # looks, all people together
_LONGEST_NAME = 80


def written(vector: Floats) -> str:
    """A vector (D,) as base64 of 16-bit floats, the lowest byte first."""
    return base64.b64encode(np.asarray(vector, "<f2").tobytes()).decode()


def with_people(gallery: Gallery, people: Sequence[str]) -> Gallery:
    """A gallery and further people.

    people: `NAME:LOOK` each, a look as `written` gives it; several of one name are one person. Raises UsageError for
    what is no look, DataError for a name that the gallery has.
    """
    if len(people) > _MOST:
        raise UsageError(f"at most {_MOST} looks at people; got {len(people)}.")
    looks: dict[str, list[Floats]] = defaultdict(list)
    for text in people:
        name, _, look = text.rpartition(":")
        if not 0 < len(name.strip()) <= _LONGEST_NAME:
            raise UsageError(f"a person is NAME:LOOK, a name of 1 to {_LONGEST_NAME} letters; got {text[:60]!r}.")
        looks[name.strip()].append(_read(look))
    made = Gallery(gallery.model)
    for known, vectors in gallery.people.items():
        made.add(known, vectors)
    for name, several in looks.items():
        if len({len(one) for one in several}) > 1:
            raise UsageError(f"the looks at {name!r} are of different networks.")
        made.add(name, np.stack(several))
    return made


def _read(look: str) -> Floats:
    try:
        vector = np.frombuffer(base64.b64decode(look, validate=True), "<f2").astype(np.float32)
    except (binascii.Error, ValueError):
        vector = np.zeros(0, np.float32)
    if not len(vector) or not np.isfinite(vector).all():
        raise UsageError(f"a look is what POST /v1/enrol gives, in base64; got {look[:40]!r}.")
    return vector
