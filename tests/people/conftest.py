"""The real landmarker, two photographs, and an eye that is closed with a brush."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vision.people import mesh
from vision.people.face import Faces
from vision.people.landmarks import FaceLandmarker
from vision.types import Image


@pytest.fixture(scope="session")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker.load(precision="fp32", backend="openvino")  # bfloat16 moves painted lids


@pytest.fixture(scope="session")
def zidane(photos: dict[str, Path]) -> Image:
    """(720,1280,3): Ancelotti looks into the camera at the right; Zidane shouts at the left, half turned."""
    return cv2.imread(str(photos["zidane"]))


@pytest.fixture(scope="session")
def bus(photos: dict[str, Path]) -> Image:
    """(1080,810,3): two people with sunglasses, their faces 38 pixels wide."""
    return cv2.imread(str(photos["bus"]))


@pytest.fixture(scope="session")
def ancelotti(zidane: Image) -> Image:
    """(480,480,3): one face, 140 pixels wide, frontal, eyes open."""
    return np.ascontiguousarray(zidane[0:480, 740:1220])


def _closed(image: Image, face: Faces) -> Image:
    image = image.copy()
    for eye in (mesh.RIGHT_EYE, mesh.LEFT_EYE):
        lids = face.points[0][list(eye)]
        lower, upper = lids[:9], lids[[0, *range(9, 16), 8]]
        width = float(np.linalg.norm(lids[8] - lids[0]))
        x, y = lids[4]
        below = slice(int(y + 0.35 * width), int(y + 0.5 * width))
        skin = image[below, int(x - 0.2 * width) : int(x + 0.2 * width)].reshape(-1, 3).mean(axis=0)
        outline = np.concatenate([upper, lower[::-1]])
        outline = outline.mean(axis=0) + (outline - outline.mean(axis=0)) * [1.08, 1.5]
        lid = cv2.fillPoly(np.zeros(image.shape[:2], np.float32), [outline.round().astype(int)], 1.0)
        lid = cv2.GaussianBlur(lid, (0, 0), 1.0)[..., None]
        image = (image * (1 - lid) + skin * lid).astype(np.uint8)
        cv2.polylines(image, [lower.round().astype(int)], False, (skin * 0.35).tolist(), 2, cv2.LINE_AA)
    return image


@pytest.fixture(scope="session")
def close_eyes() -> Callable[[Image, Faces], Image]:
    """Paints lids and a line of lashes over both eyes of a picture's first face."""
    return _closed


def _through_json(state: dict[str, Any]) -> dict[str, Any]:
    def pack(value: object) -> dict[str, Any]:
        assert isinstance(value, np.ndarray)
        return {"array": value.tolist(), "dtype": value.dtype.str, "shape": value.shape}

    def unpack(found: dict[str, Any]) -> Any:
        if "array" not in found:
            return found
        return np.array(found["array"], found["dtype"]).reshape(found["shape"])

    return json.loads(json.dumps(state, default=pack), object_hook=unpack)


@pytest.fixture(scope="session")
def through_json() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Writes a state as text and reads it again; fails where it holds more than plain values and arrays."""
    return _through_json
