"""Whether a face is good enough to say whose it is."""

from __future__ import annotations

from enum import IntEnum

import cv2
import numpy as np

from vision.people.face import Faces
from vision.types import Image

MIN_WIDTH = 30.0                # pixels of the frame, of the face mesh
_MAX_YAW, _MAX_PITCH = 55.0, 45.0
_MIN_SHARP = 2.0                # standard deviation of the Laplacian, in grey levels
_MIN_CONTRAST = 8.0             # standard deviation of the grey levels


class Quality(IntEnum):
    """What is wrong with a face; `GOOD` where nothing is."""

    GOOD = 0
    SMALL = 1
    TURNED = 2
    FLAT = 3
    BLURRED = 4


SAID = {
    Quality.GOOD: "good",
    Quality.SMALL: f"less than {MIN_WIDTH:.0f} pixels wide",
    Quality.TURNED: "turned too far away",
    Quality.FLAT: "too dark, too bright or without contrast",
    Quality.BLURRED: "blurred",
}


def quality(faces: Faces, row: int, chip: Image, min_width: float = MIN_WIDTH) -> Quality:
    """What is wrong with one of the faces, first of all.

    faces: those of a frame. row: which. chip: (s,s,3), as the network of identity sees it.
    min_width: of the face mesh, in pixels of the frame.
    """
    left, _, right, _ = faces.boxes[row].tolist()
    yaw, pitch, _ = np.abs(faces.angles[row]).tolist()
    grey = cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY)
    if right - left < min_width:
        return Quality.SMALL
    if not (yaw <= _MAX_YAW and pitch <= _MAX_PITCH):
        return Quality.TURNED
    if grey.std() < _MIN_CONTRAST:
        return Quality.FLAT
    return Quality.BLURRED if cv2.Laplacian(grey, cv2.CV_32F).std() < _MIN_SHARP else Quality.GOOD
