"""The graphs that ship: any batch, and the back ends agree."""

from __future__ import annotations

import numpy as np
import pytest

from vision.engine import load
from vision.types import Image
from vision.view import patch, stretch
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
    one = patch(zidane, centre, side, card.input.size_wh[0]).pixels
    batch = np.stack([one, one[:, ::-1], one // 2])
    alike = [load(card, "cpu", "fp32", backend)(batch) for backend in ("openvino", "onnxruntime")]
    for a, b in zip(*alike, strict=True):
        assert a.shape == b.shape
        assert len(a) == 3
        np.testing.assert_allclose(a, b, atol=0.05 if name == "blazepose-full" else 0.005)
    single = load(card, "cpu", backend="onnxruntime")(one[None])
    for a, b in zip(single, alike[1], strict=True):
        np.testing.assert_allclose(a[0], b[0], atol=0.005)


def test_the_detector_takes_any_size(zidane: Image):
    """Its anchors are made in the graph: what is seen moves with the picture, on either back end."""
    card = CARDS["blazeface-full"]
    picture = stretch(zidane, (384, 224)).pixels
    wider = np.zeros((256, 416, 3), np.uint8)
    wider[32:, 32:] = picture                                        # a whole cell of the coarsest layer
    engines = load(card, "cpu", backend="openvino"), load(card, "cpu", backend="onnxruntime")
    (faces,), (other,) = (engine(wider[None]) for engine in engines)
    np.testing.assert_allclose(faces, other, atol=0.005)
    assert faces.shape == (1, 64 * 104, 17)
    (alone,) = engines[0](picture[None])
    best, same = alone[0, alone[0, :, 16].argmax()], faces[0, faces[0, :, 16].argmax()]
    assert best[16] > 0.8
    np.testing.assert_allclose(same[:2] - 32, best[:2], atol=1.0)
    np.testing.assert_allclose(same[2:4], best[2:4], rtol=0.05)
