"""A person and nothing else, of a photograph that is in the public domain."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np


def portrait(size_wh: tuple[int, int] = (640, 480)) -> np.ndarray:
    """(H,W,3) BGR: NASA's photograph of Eileen Collins, which scikit-image carries."""
    package = find_spec("skimage")
    assert package is not None
    assert package.submodule_search_locations is not None
    image = cv2.imread(str(Path(package.submodule_search_locations[0]) / "data/astronaut.png"))
    assert image is not None
    image = cv2.resize(image[:288, 100:484], (640, 480))
    image[:, 400:] = image[:, 399:400]                   # a rocket stands there
    return np.asarray(cv2.resize(image, size_wh), np.uint8)
