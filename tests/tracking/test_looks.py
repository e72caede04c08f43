from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision import Detections, FakeEngine, Frame, Track
from vision.io import Info
from vision.steps.base import Pool
from vision.tracking.looks import Appearance
from vision.zoo import CARDS

CARD = CARDS["person-reid"]


def test_a_vector_for_each_box_of_what_lies_inside() -> None:
    """The fake network gives the mean colour of what it is shown."""
    asked = []

    def mean_colour(batch: np.ndarray) -> tuple[np.ndarray]:
        asked.append(batch.shape)
        return (batch.mean(axis=(1, 2)).astype(np.float32),)

    appearance = Appearance(FakeEngine(mean_colour), CARD)
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :100], image[:, 100:] = (10, 20, 30), (200, 100, 50)
    boxes = np.array([[120, 5, 180, 95], [5, 5, 60, 95], [-40, -40, 20, 20]], np.float32)
    np.testing.assert_allclose(appearance(image, boxes), [[200, 100, 50], [10, 20, 30], [10, 20, 30]], atol=0.01)
    assert sum(shape[0] for shape in asked) == 3
    assert {shape[1:] for shape in asked} == {(256, 128, 3)}
    assert appearance(image, np.empty((0, 4), np.float32)).shape[0] == 0


def test_track_tells_two_who_change_places_by_their_looks() -> None:
    """Two people, one before the other, change places between two frames; the fake network sees their hair."""
    model = Appearance(FakeEngine(lambda batch: (batch[:, 2].mean(axis=1).astype(np.float32),)), CARD)
    behind, before = np.array([40, 20, 80, 110], np.float32), np.array([40, 40, 80, 130], np.float32)
    seen = Detections(np.stack([behind, before]), np.array([0.9, 0.9]), np.array([0, 0]))

    def ids(looks: Appearance | None, swapped: bool) -> list[int]:
        step = Track().open(Info("made", "video", (160, 140)), looks)
        for index in range(6):
            colours = [(0, 0, 255), (255, 0, 0)]
            if swapped and index == 5:
                colours.reverse()
            image = np.zeros((140, 160, 3), np.uint8)
            for (x0, y0, x1, y1), colour in zip(seen.boxes.astype(int).tolist(), colours, strict=True):
                cv2.rectangle(image, (x0, y0), (x1, y1), colour, -1)
            tracks = step.begin(Frame(image, index, index / 10), {"detect": seen})()
        return tracks.ids[np.argsort(tracks.rows)].tolist()

    assert ids(model, swapped=False) == ids(None, swapped=True) == [1, 2]
    assert ids(model, swapped=True) == [2, 1]


def test_weak_boxes_are_not_looked_at() -> None:
    """A hundred of them, beside one that is sure; and where there are weak ones alone, one, which tells D."""
    asked: list[int] = []

    def network(batch: np.ndarray) -> tuple[np.ndarray]:
        asked.append(len(batch))
        return (batch.mean(axis=(1, 2)).astype(np.float32),)

    corners = np.random.default_rng(0).uniform(0, 80, (101, 2))
    boxes = np.concatenate([corners, corners + 40], axis=1).astype(np.float32)
    image = np.full((140, 160, 3), 90, np.uint8)
    step = Track().open(Info("made", "video", (160, 140)), Appearance(FakeEngine(network), CARD))
    for index, best in enumerate((0.9, 0.9, 0.3, 0.9)):
        scores = np.full(101, 0.2)
        scores[7] = best
        seen = Detections(boxes, scores, np.zeros(101, np.int64))
        tracks = step.begin(Frame(image, index, index / 10), {"detect": seen})()
    assert asked == [1] * 4
    assert tracks.rows.tolist() == [7]


@pytest.mark.realdata
def test_one_person_looks_like_their_mirror_image(data: Path, photos: dict[str, Path]) -> None:
    """Of three people no two look alike: cosines of 0.20 to 0.25; one of them and the mirror image: 0.98."""
    file = data.parent / "weights" / "teachers" / "person_reid" / CARD.file
    boxes = np.array([[47, 378, 233, 906], [667, 390, 809, 875], [215, 403, 353, 855]], np.float32)
    with Appearance.load(replace(CARD, file=str(file), url=None), "cpu", "fp32") as appearance:
        image = cv2.imread(str(photos["bus"]))
        vectors = appearance(image, boxes)
        mirrored = appearance(np.ascontiguousarray(image[:, ::-1]), np.float32([[810 - 233, 378, 810 - 47, 906]]))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors.shape == (3, 256)
    assert (unit @ unit.T)[[0, 0, 1], [1, 2, 2]] == pytest.approx([0.22, 0.20, 0.25], abs=0.01)
    assert unit[0] @ mirrored[0] / np.linalg.norm(mirrored[0]) == pytest.approx(0.98, abs=0.01)


def test_a_model_that_is_not_pulled_yet_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Exception, match="vision weights pull person-reid"):
        Track(looks="person-reid").load(Pool())
