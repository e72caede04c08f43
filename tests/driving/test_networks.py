"""Lane networks: the decoders on made outputs, and on the published files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.driving.roads import CAMERA, GROUND, MOUNTING, road
from tests.driving.test_lanes import errors
from vision import FakeEngine, FindLanes, Run, zoo
from vision.card import Card
from vision.driving.finder import LaneFinder
from vision.errors import ModelError, WeightsError
from vision.geometry import Setup
from vision.roads import LANES, lane_card
from vision.tasks.lanes import LaneNetwork
from vision.types import Frame

FILES = {"twinlitenet-plus-small": "twinlitenet/small_plus.onnx", "twinlitenet-plus-nano": "twinlitenet/nano_plus.onnx",
         "lstr": "lstr/lstr_360x640.onnx"}


def card(name: str) -> Card:
    return next(one for one in LANES if one.name == name)


def twin(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of a letterboxed 640x384: what is grey is road, what is light is a marking."""
    grey = batch[..., 0].astype(np.float32)
    outputs = []
    for on in (np.abs(grey - 95) < 25, grey > 180):
        logits = np.where(on, 3.0, -3.0).astype(np.float32)
        outputs.append(np.stack([-logits, logits], axis=1))
    return outputs[0], outputs[1]


def test_masks_become_lines_and_road() -> None:
    network = LaneNetwork(FakeEngine(twin), card("twinlitenet-plus-small"))
    image = road(1.5, -2.1)
    image[: round(GROUND.horizon())] = 20
    found = network(image)
    assert found.mask is not None
    assert found.mask.shape == (360, 640)
    assert found.road is not None
    assert found.road.mean() == pytest.approx(0.5, abs=0.1)
    lanes = LaneFinder((640, 360), Setup(CAMERA, MOUNTING))(image, 0.0, found.evidence)
    assert np.abs(errors(lanes, 1.5, -2.1, 0.0, 0.0)).max() < 0.25


def test_curves_become_lines() -> None:
    table = np.zeros((1, 7, 8), np.float32)                   # lower, upper, k, f, m, n, b, c
    for curve, left in zip(table[0], (1.5, -2.1), strict=False):
        near, far = GROUND.pixels([[5.0, left], [40.0, left]]) / (640, 360)
        slope = (near[0] - far[0]) / (near[1] - far[1])       # x = n + b y - c: a straight line of the picture
        curve[:] = far[1], near[1], 0, -1, 0, near[0] - slope * near[1] + 0.5, slope, 0.5
    logits = np.zeros((1, 7, 2), np.float32)
    logits[0, :, 0], logits[0, :2, 1] = 1, 2
    network = LaneNetwork(FakeEngine(lambda batch: (logits, table)), card("lstr"))
    found = network(road(1.5, -2.1))
    assert len(found.curves) == 2
    lanes = LaneFinder((640, 360), Setup(CAMERA, MOUNTING))(road(), 0.0, found.evidence)
    assert np.abs(errors(lanes, 1.5, -2.1, 0.0, 0.0)).max() < 0.2


def test_a_plan_with_a_network() -> None:
    network = LaneNetwork(FakeEngine(twin), card("twinlitenet-plus-nano"))
    frames = [Frame(road(start=k, seed=k), k, k / 25) for k in range(3)]
    with Run(frames, FindLanes(network)) as run:
        items = list(run)
    assert items[-1].record["lanes"]["model"] == "twinlitenet-plus-nano"
    assert items[-1]["lanes"].road is not None
    assert len(items[-1]["lanes"]) == 2


def test_cards() -> None:
    assert {one.name for one in LANES} <= zoo.CARDS.keys()
    assert zoo.find("lstr", "lanes").config["decoder"] == "lstr"
    assert all(one.url and len(one.sha256) == 64 for one in LANES)
    with pytest.raises(ModelError, match="names no decoder of lanes"):
        LaneNetwork(FakeEngine(twin), replace(card("lstr"), config={}))(road())
    with pytest.raises(WeightsError, match=r"there is no file 'none\.onnx'"):
        LaneNetwork.load("none.onnx")


@pytest.mark.realdata
@pytest.mark.parametrize("name", FILES)
def test_the_published_files(name: str, data: Path) -> None:
    path = data.parent / "weights/teachers" / FILES[name]
    image = cv2.imread(str(data / "driving/test_images/advanced_straight_lines1.jpg"))
    with LaneNetwork.load(replace(card(name), file=str(path)), device="cpu") as network:       # with its sha256
        found = network(image)
    assert lane_card(path).input.size_wh == card(name).input.size_wh
    assert lane_card(path).config == card(name).config
    lanes = LaneFinder((1280, 720))(image, 0.0, found.evidence)
    at = [lanes.x_at(side, 540) for side in (0, 1)]
    if name == "lstr":
        places = sorted(float(np.interp(0.9, curve[:, 1] / 720, curve[:, 0] / 1280)) for curve in found.curves)
        assert places[:2] == pytest.approx([0.25, 0.77], abs=0.01)                   # as its publisher decodes it
        assert at == pytest.approx([469, 825], abs=40)
        return
    assert found.mask is not None
    assert found.road is not None
    wanted = {"twinlitenet-plus-small": (0.239, 0.0184), "twinlitenet-plus-nano": (0.200, 0.0138)}[name]
    assert (found.road.mean(), (found.mask > 127).mean()) == (
        pytest.approx(wanted[0], abs=0.01), pytest.approx(wanted[1], abs=0.001))
    assert at == pytest.approx([469, 825], abs=10)
