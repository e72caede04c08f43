"""The classifier: what goes in, what comes out, and the shipped one on real pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.card import Input
from vision.engine import FakeEngine
from vision.tasks.classify import Classifier
from vision.zoo import CARDS

CARD = replace(CARDS["mobilenet-v2"], name="fake", names=("left", "right"), input=Input((8, 8), "crop"))


def brighter_half(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    left, right = batch[:, :, :4].mean(axis=(1, 2, 3)), batch[:, :, 4:].mean(axis=(1, 2, 3))
    return ((np.stack([left, right], axis=1) / (left + right)[:, None]).astype(np.float32),)


def picture(w: int, h: int, share_left: int) -> np.ndarray:
    image = np.full((h, w, 3), 50, np.uint8)
    image[:, : w // 2] = share_left
    return image


def test_pictures_of_any_size_come_back_in_order() -> None:
    classifier = Classifier(FakeEngine(brighter_half), CARD)
    found = classifier.batch([picture(64, 48, 200), picture(20, 90, 10), picture(8, 8, 50)])
    np.testing.assert_allclose(found[0].probs, [0.8, 0.2], atol=0.02)
    np.testing.assert_allclose(found[1].probs, [1 / 6, 5 / 6], atol=0.02)
    np.testing.assert_allclose(found[2].probs, [0.5, 0.5])
    assert classifier(picture(64, 48, 200)).top(1)[0][0] == 0
    assert classifier.batch([]) == []


@pytest.mark.parametrize(("resize", "white"), [("crop", 1.0), ("stretch", 0.5), ("letterbox", 0.25)])
def test_the_card_says_how_a_picture_goes_in(resize: str, white: float) -> None:
    seen: list[np.ndarray] = []

    def keep(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(batch)
        return (np.float32([[1, 0]]),)

    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 20:60] = 255                            # the middle half of the width is white
    card = replace(CARD, input=Input((40, 40), resize, crop=1.0))
    Classifier(FakeEngine(keep), card)(image)
    assert seen[0].shape == (1, 40, 40, 3)
    assert (seen[0] == 255).mean() == pytest.approx(white, abs=0.03)


def test_an_engines_fixed_size_comes_before_the_cards() -> None:
    shapes: list[tuple[int, ...]] = []

    def keep(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        shapes.append(batch.shape)
        return (np.float32([[1, 0]]),)

    Classifier(FakeEngine(keep, input_wh=(16, 16)), CARD)(picture(64, 48, 9))
    assert shapes == [(1, 16, 16, 3)]


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier.load(precision="fp32")


def test_the_shipped_classifier_agrees_with_torchvision(shipped: Classifier, photos: dict[str, Path]) -> None:
    # torchvision's own transforms (Pillow's antialiased resize) on its own file: 0.465, 0.445, 0.055
    found = shipped(cv2.imread(str(photos["bus"])))
    assert [shipped.names[i] for i, _ in found.top(3)] == ["minibus", "police van", "recreational vehicle"]
    assert [p for _, p in found.top(3)] == pytest.approx([0.465, 0.445, 0.055], abs=0.1)
    assert found.probs.sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.realdata
def test_top_1_on_the_imagenet_sample(shipped: Classifier, data: Path) -> None:
    from vision.data.classification import labelled_pictures
    from vision.metrics.classification import accuracy

    pictures, left_out = labelled_pictures(data / "imagenet_sample" / "labels.csv", shipped.names)
    assert (len(pictures), left_out) == (50, ["rows without a file, left out: 950"])
    scores = [shipped(cv2.imread(str(path))) for path, _ in pictures]
    assert accuracy(scores, [label for _, label in pictures]) >= 0.8


def test_ten_views_are_the_centre_the_corners_and_their_mirrors() -> None:
    image = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20, 1).repeat(3, 2)
    seen: list[np.ndarray] = []

    def keep(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(batch[0])
        share = batch.mean(dtype=np.float64) / 255
        return (np.float32([[share, 1 - share]]),)

    card = replace(CARD, input=replace(CARD.input, size_wh=(8, 8), resize="ten", crop=8 / 12))
    scores = Classifier(FakeEngine(keep), card)(image)
    corners = [(6, 2), (0, 0), (12, 0), (0, 4), (12, 4)]
    wanted = [image[y : y + 8, x : x + 8] for x, y in corners]
    wanted += [one[:, ::-1] for one in wanted]
    assert all(np.array_equal(one, other) for one, other in zip(seen, wanted, strict=True))
    assert scores.probs[0] == pytest.approx(np.mean([one.mean() / 255 for one in wanted]), abs=1e-6)
    seen.clear()
    once = Classifier(FakeEngine(keep), card).batch([image, image], crop="centre")
    assert len(once) == len(seen) == 2
    assert np.array_equal(seen[0], wanted[0])
