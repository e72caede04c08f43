"""Eyes: openness, states, what cannot be judged, blinks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.people import eyes
from vision.people.eyes import Blink, Eye, EyeWatch
from vision.people.face import Faces
from vision.people.landmarks import FaceLandmarker
from vision.types import Image

SEEN = np.array([True, True])


def lids(gap: float, width: float = 40.0) -> np.ndarray:
    """(16,2): an eye as an ellipse, `gap` high in the middle."""
    x = np.linspace(0, width, 9)
    bow = gap / 2 * np.sqrt(np.clip(1 - (2 * x / width - 1) ** 2, 0, None))
    return np.concatenate([np.stack([x, bow], -1), np.stack([x, -bow], -1)[1:8]]).astype(np.float32)


def test_the_aspect_is_gap_over_width():
    assert eyes.aspect(lids(0.0)) == 0
    assert eyes.aspect(lids(12.0)) == pytest.approx(12 / 40, rel=0.05)
    turned = lids(12.0) @ np.array([[0.8, -0.6], [0.6, 0.8]], np.float32) * 3
    assert eyes.aspect(turned) == pytest.approx(float(eyes.aspect(lids(12.0))), rel=1e-4)
    assert eyes.aspect(np.stack([[lids(4.0), lids(8.0)]])).shape == (1, 2)


def test_three_states():
    aspects = np.array([[0.30, 0.05], [0.16, 0.30]], np.float32)
    seen = np.array([[True, True], [True, False]])
    assert eyes.states(aspects, seen).tolist() == [[Eye.OPEN, Eye.CLOSED], [Eye.UNKNOWN, Eye.UNKNOWN]]


def watched(openness: list[float], rate: float = 30.0, watch: EyeWatch | None = None) -> EyeWatch:
    watch = watch or EyeWatch()
    for i, value in enumerate(openness):
        watch(np.array([value, value], np.float32), SEEN, i / rate)
    return watch


def test_a_blink_has_times():
    watch = watched([0.3] * 30 + [0.2, 0.08, 0.05, 0.08] + [0.3] * 10)
    assert watch.blinks == [Blink(31 / 30, 34 / 30)]
    assert watch.eyes_open_for(0.3)
    assert not watch.eyes_open_for(0.31)


def test_a_doze_and_a_wink_are_no_blinks():
    assert watched([0.3] * 30 + [0.05] * 30 + [0.3] * 5).blinks == []
    watch = EyeWatch()
    for i, right in enumerate([0.3] * 10 + [0.05] * 5 + [0.3] * 5):
        watch(np.array([right, 0.3], np.float32), SEEN, i / 30)
    assert watch.blinks == []


def test_eyes_that_vanish_do_not_blink():
    watch = watched([0.3] * 10 + [0.05] * 3)
    assert watch(np.zeros(2, np.float32), ~SEEN, 13 / 30).tolist() == [Eye.UNKNOWN] * 2
    watch(np.array([0.3, 0.3], np.float32), SEEN, 14 / 30)
    assert watch.blinks == []
    assert not watch.eyes_open_for(0.1)


def test_between_open_and_closed_the_last_state_holds():
    watch = EyeWatch()
    aspects = [0.16, 0.3, 0.16, 0.05, 0.16]
    states = [watch(np.full(2, a, np.float32), SEEN, i / 30)[0] for i, a in enumerate(aspects)]
    assert states == [Eye.UNKNOWN, Eye.OPEN, Eye.OPEN, Eye.CLOSED, Eye.CLOSED]


def test_narrow_eyes_are_learned():
    """An aspect of 0.18 is no open eye at first, and is one for a person who never opens wider."""
    narrow = np.array([0.18, 0.18], np.float32)
    assert EyeWatch()(narrow, SEEN, 0.0).tolist() == [Eye.UNKNOWN] * 2
    watch = watched([0.18] * 150)
    assert watch(narrow, SEEN, 5.0).tolist() == [Eye.OPEN] * 2
    assert watch(np.full(2, 0.05, np.float32), SEEN, 5.1).tolist() == [Eye.CLOSED] * 2


def test_closed_eyes_do_not_become_the_open_ones():
    watch = watched([0.1] * 600)
    assert watch.reference == eyes.TYPICAL
    assert not watch.eyes_open_for(0.0)


def test_gaze_follows_the_iris():
    both = np.stack([[lids(12.0), lids(12.0) * [-1, 1] + [90, 0]]]).astype(np.float32)     # mirrored left eye
    middle = (both[:, :, 0] + both[:, :, 8]) / 2
    angles = np.zeros((1, 3), np.float32)

    def look(dx: float, dy: float) -> np.ndarray:
        irises = np.repeat(middle[:, :, None], 5, axis=2) + np.array([dx, dy], np.float32)
        return eyes.gaze(both, irises, angles)[0]

    assert np.allclose(look(0, 0), 0, atol=1e-4)
    right, up = look(4, 0)
    assert right == pytest.approx(np.rad2deg(np.arcsin(4 / 40 * 25.9 / 12)), abs=0.1)
    assert abs(up) < 0.1
    assert look(0, -4)[1] == pytest.approx(right, abs=0.1)
    assert np.allclose(eyes.gaze(both, np.repeat(middle[:, :, None], 5, axis=2), angles + 10), 10, atol=1e-4)


def test_distance_by_the_iris():
    rim = np.array([[0, 0], [5.85, 0], [0, -5.85], [-5.85, 0], [0, 5.85]], np.float32)     # 11.7 wide
    assert eyes.distance(np.stack([[rim, rim]]), 600.0) == pytest.approx([0.6], rel=1e-5)


def states_of(landmarker: FaceLandmarker, image: Image) -> list[int]:
    faces = landmarker(image)
    assert len(faces) == 1
    return faces.eyes[0].tolist()


def test_open_closed_and_dark_glass(
    landmarker: FaceLandmarker, ancelotti: Image, close_eyes: Callable[[Image, Faces], Image]
):
    face = landmarker(ancelotti)
    glasses = ancelotti.copy()
    for iris in (468, 473):
        x, y = face.points[0, iris].astype(int).tolist()
        cv2.ellipse(glasses, (x, y), (24, 17), 0, 0, 360, (12, 12, 12), cv2.FILLED, cv2.LINE_AA)
    assert face.eyes[0].tolist() == [Eye.OPEN, Eye.OPEN]
    assert states_of(landmarker, close_eyes(ancelotti, face)) == [Eye.CLOSED, Eye.CLOSED]
    assert states_of(landmarker, glasses) == [Eye.UNKNOWN, Eye.UNKNOWN]
    assert np.isnan(landmarker(glasses).gaze).all()


def test_real_sunglasses(landmarker: FaceLandmarker, bus: Image):
    assert (landmarker(bus).eyes == Eye.UNKNOWN).all()


def test_blur_and_distance_cannot_be_judged(landmarker: FaceLandmarker, ancelotti: Image):
    blurred = cv2.GaussianBlur(ancelotti, (0, 0), 4.0)
    small = cv2.resize(ancelotti, (120, 120), interpolation=cv2.INTER_AREA)
    for image in (blurred, small):
        assert states_of(landmarker, image) == [Eye.UNKNOWN, Eye.UNKNOWN]


# seen by eye, once: nothing else is known of these pictures
OPEN = (
    "Agbani_Darego_40", "Agbani_Darego_50", "Bill_Frist_10", "Charlie_Coles_01", "Chris_Matthews_30",
    "Chris_Noth_11", "Eliza_Dushku_21", "Gary_Condit_31", "Katharine_Hepburn_30", "Kristy_Curry_31",
    "Kweisi_Mfume_40",
)
CLOSED = ("Agnes_Bruckner_20", "Agnes_Bruckner_21", "Charlie_Coles_20", "Chris_Noth_32", "Kate_Winslet_00")
HIDDEN = ("David_Caruso_11", "David_Caruso_12", "David_Caruso_30", "David_Caruso_31", "David_Caruso_32")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "state"),
    [*((n, Eye.OPEN) for n in OPEN), *((n, Eye.CLOSED) for n in CLOSED), *((n, Eye.UNKNOWN) for n in HIDDEN)],
)
def test_real_eyes(landmarker: FaceLandmarker, data: Path, name: str, state: Eye):
    image = cv2.imread(str(data / "faces/images" / f"{name}.jpg"))
    assert landmarker(image).eyes[0].tolist() == [state, state]
