"""The person's mask, and the blurred background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vision.engine import FakeEngine
from vision.errors import UsageError
from vision.people.person import PersonMask, blur_background
from vision.types import Image
from vision.zoo import CARDS


def test_the_people_of_a_photograph(zidane: Image):
    model = PersonMask.load()
    mask = model(zidane)
    assert mask.shape == zidane.shape[:2]
    assert 0 <= mask.min() <= mask.max() <= 1
    assert mask[150:260, 940:1030].mean() > 0.95                # a face
    assert mask[500:700, 420:560].mean() > 0.95                 # a jacket
    assert mask[50:200, 50:400].mean() < 0.05                   # the stand behind
    first, second = model.submit([zidane, zidane[:, ::-1].copy()])()
    assert np.abs(first - mask).max() < 0.01
    assert second[300:450, 640:720].mean() > 0.9               # the other face, mirrored
    assert model.submit([])() == []


def test_a_mask_has_the_size_of_its_picture():
    half = np.zeros((1, 256, 256), np.float32)
    half[:, :, 128:] = 1
    model = PersonMask(FakeEngine(lambda batch: (half,)), CARDS["selfie"])
    mask = model(np.zeros((90, 160, 3), np.uint8))
    assert mask.shape == (90, 160)
    assert mask[:, :78].max() < 0.5 < mask[:, 82:].min()


def test_only_the_background_is_blurred(zidane: Image):
    mask = np.zeros(zidane.shape[:2], np.float32)
    mask[:, 640:] = 1
    blurred = blur_background(zidane, mask)
    assert np.abs(blurred[:, 640:].astype(int) - zidane[:, 640:]).max() <= 1
    sharpness = [cv2.Laplacian(image[:, :600], cv2.CV_32F).var() for image in (blurred, zidane)]
    assert sharpness[0] < 0.05 * sharpness[1]


def test_the_person_does_not_bleed_into_the_background():
    image = np.full((200, 200, 3), 100, np.uint8)
    image[60:140, 60:140] = (0, 0, 255)
    mask = (image[..., 2] == 255).astype(np.float32)
    assert np.abs(blur_background(image, mask, sigma=0.1)[mask == 0].astype(int) - 100).max() <= 2


def test_a_mask_of_another_size():
    with pytest.raises(UsageError, match="as large as"):
        blur_background(np.zeros((10, 20, 3), np.uint8), np.zeros((20, 10), np.float32))
