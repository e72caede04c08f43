"""What a model saw on a picture, in a few numbers: of its result, as the record has it, and of the picture itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from vision.people.identities import STRANGER
from vision.types import Floats, Image

_SIDE = 160                                              # pixels: the width at which brightness and sharpness are taken


@dataclass
class Seen:
    """One picture. scores: of its objects, or of the best classes; classes: their names, and of faces with names only
    whether they are known; count: how many objects.

    brightness: the mean, 0..255. sharpness: the logarithm (base 10) of the variance of the Laplacian. embedding: what
    a classifier sees, (D,), or None. They are None of a picture that was not looked at.
    """

    scores: list[float] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    count: int | None = None
    brightness: float | None = None
    sharpness: float | None = None
    embedding: Floats | None = None


def models_in(record: Mapping[str, Any]) -> Iterator[tuple[str, Seen]]:
    """What each model of a record found, by `key model`."""
    for key, payload in record.items():
        if not isinstance(payload, Mapping) or "model" not in payload or "backend" not in payload:
            continue
        name = f"{key} {payload['model']}"
        if isinstance(payload.get("objects"), list):
            rows = payload["objects"]
            classes = [str(row["label"]) for row in rows if "label" in row]
            if key == "identify":                        # names of people are nobody's but the client's
                classes = [STRANGER if label == STRANGER else "known" for label in classes]
            yield name, Seen([float(row["score"]) for row in rows if "score" in row], classes, len(rows))
        elif isinstance(payload.get("scores"), list):
            best = payload["scores"][:1]
            yield name, Seen([float(row["score"]) for row in best], [str(row["label"]) for row in best])
        elif isinstance(payload.get("areas"), list):     # each class counts once, however large
            yield name, Seen([], [str(row["label"]) for row in payload["areas"]])
        else:
            yield name, Seen()


def look(image: Image) -> tuple[float, float]:
    """Brightness and sharpness of a picture (H,W,3) uint8 BGR."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    scale = _SIDE / max(grey.shape)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    return float(grey.mean()), float(np.log10(edges.var() + 1e-3))


def embedding(classifier: Any, image: Image) -> Floats:
    """What a classifier sees: the roots of its probabilities, (C,), of length 1."""
    return np.sqrt(np.asarray(classifier(image).probs, np.float32))
