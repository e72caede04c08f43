"""The graphs that ship: any batch, and the back ends agree."""

from __future__ import annotations

import numpy as np
import pytest

from vision.engine import load
from vision.types import Image
from vision.view import patch
from vision.zoo import CARDS

# the square of the photograph that a network is made for: centre and side
PLACES = {
    "blazeface-full": ((640, 360), 1280), "blazeface-back": ((640, 360), 1280),
    "facemesh": ((980, 200), 250), "iris": ((965, 168), 62),
    "blazepose-full": ((980, 400), 700), "selfie": ((640, 360), 1280),
}


@pytest.mark.parametrize("name", PLACES)
def test_onnxruntime_and_openvino_agree(name: str, zidane: Image):
    card = CARDS[name]
    centre, side = PLACES[name]
    one = patch(zidane, centre, side, card.size_wh[0]).pixels
    batch = np.stack([one, one[:, ::-1], one // 2])
    alike = load(card, "cpu", backend="openvino")(batch), load(card, "cpu", backend="onnxruntime")(batch)
    for a, b in zip(*alike, strict=True):
        assert a.shape == b.shape
        assert len(a) == 3
        np.testing.assert_allclose(a, b, atol=0.05 if name == "blazepose-full" else 0.005)
    single = load(card, "cpu", backend="onnxruntime")(one[None])
    for a, b in zip(single, alike[1], strict=True):
        np.testing.assert_allclose(a[0], b[0], atol=0.005)
