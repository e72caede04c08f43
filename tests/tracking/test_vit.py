"""VitTrack's follower on a made graph: a twin of OpenCV's, losing and finding, resuming, and what is no VitTrack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vision import Follow, Run
from vision.errors import ModelError, UsageError, WeightsError
from vision.tracking.vit import Vit, VitNet, hann
from vision.types import Frame, Image
from vision.zoo import CARDS

BOX = np.array([60, 100, 100, 140], np.float32)


def graph(path: Path, template: str = "template") -> Path:
    """VitTrack's inputs and outputs. Scores: how near a cell's mean colour is to that of the template's middle; every
    size is a quarter of the window, and every centre in the middle of its cell."""
    numbers = {
        "far": np.array([2, 3]), "colours": np.array([1]), "from": np.array([48, 48]), "to": np.array([80, 80]),
        "k": np.float32(-8), "quarter": np.full((1, 2, 16, 16), 0.25, np.float32),
        "middle": np.full((1, 2, 16, 16), 0.5, np.float32),
    }
    nodes = [
        helper.make_node("Slice", [template, "from", "to", "far"], ["inside"]),
        helper.make_node("ReduceMean", ["inside", "far"], ["mean"], keepdims=1),
        helper.make_node("AveragePool", ["search"], ["cells"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Sub", ["cells", "mean"], ["off"]),
        helper.make_node("Mul", ["off", "off"], ["square"]),
        helper.make_node("ReduceSum", ["square", "colours"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "k"], ["exponent"]),
        helper.make_node("Exp", ["exponent"], ["output1"]),
        helper.make_node("Identity", ["quarter"], ["output2"]),
        helper.make_node("Identity", ["middle"], ["output3"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, side, side])
              for name, side in ((template, 128), ("search", 256))]
    outputs = [helper.make_tensor_value_info(f"output{n}", TensorProto.FLOAT, [1, 1 if n == 1 else 2, 16, 16])
               for n in (1, 2, 3)]
    made = helper.make_graph(nodes, "vit", inputs, outputs,
                             [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def picture(n: float, side: int = 40) -> Image:
    """A red square on blue noise, which goes down and up and to the right."""
    image = np.random.default_rng(0).integers(60, 90, (240, 320, 3), np.uint8)
    image[..., 0] = 200
    x, y = centre(n)
    cv2.rectangle(image, (int(x - side / 2), int(y - side / 2)), (int(x + side / 2) - 1, int(y + side / 2) - 1),
                  (20, 60, 230), -1)
    return image


def centre(n: float) -> tuple[float, float]:
    return 80 + 2 * n, 120 + 40 * np.sin(n / 12)


@pytest.fixture
def net(tmp_path: Path) -> VitNet:
    return VitNet(graph(tmp_path / "vit.onnx"), CARDS["vittrack"])


@pytest.mark.skipif(not hasattr(cv2, "TrackerVit_Params"), reason="this OpenCV has no TrackerVit to compare with")
def test_it_gives_opencvs_boxes_and_scores(net: VitNet, tmp_path: Path) -> None:
    parameters = cv2.TrackerVit_Params()
    parameters.net = str(tmp_path / "vit.onnx")
    theirs = cv2.TrackerVit_create(parameters)
    theirs.init(picture(0), (60, 100, 40, 40))
    ours = Vit(picture(0), BOX, net=net)
    for n in range(1, 60, 3):
        found, (x, y, w, h) = theirs.update(picture(n))
        target = ours(picture(n), n / 10)
        assert found
        assert not target.lost
        assert target.box == pytest.approx([x, y, x + w, y + h], abs=1)
        assert target.score == pytest.approx(theirs.getTrackingScore(), abs=0.05)
        assert np.abs((target.box[:2] + target.box[2:]) / 2 - centre(n)).max() < 16        # cells are 10 pixels wide


def test_it_is_lost_when_it_is_gone_and_found_when_it_is_back(net: VitNet) -> None:
    follower = Vit(picture(0), BOX, net=net)
    last = follower(picture(2), 0.1)
    gone = [follower(np.full((240, 320, 3), (200, 75, 75), np.uint8), n / 10) for n in range(2, 6)]
    assert all(target.lost and target.score < 0.2 for target in gone)
    assert gone[-1].box.tolist() == last.box.tolist()
    assert not follower(picture(5), 0.6).lost


def test_a_box_at_the_edge_sees_black_outside_of_the_frame(net: VitNet) -> None:
    image = picture(-30)                                     # its centre at 20 from the left
    follower = Vit(image, np.array([0, 70, 40, 110], np.float32), net=net)
    for n in range(-30, -39, -1):
        target = follower(picture(n), 0.0)
    assert not target.lost
    assert 0 <= (target.box[0] + target.box[2]) / 2 < 20
    assert Vit(picture(0, 400), np.array([0, 0, 320, 240], np.float32), net=net)(picture(0, 400), 0.1).score > 0.5


def test_what_it_remembers_goes_on(net: VitNet) -> None:
    follower = Vit(picture(0), BOX, net=net)
    for n in range(1, 20, 3):
        follower(picture(n), n / 10)
    state = follower.state()
    after = [follower(picture(n), n / 10).box.tolist() for n in range(20, 40, 3)]
    other = Vit(picture(50), np.array([0, 0, 50, 50], np.float32), net=net)
    other.restore(state)
    assert [other(picture(n), n / 10).box.tolist() for n in range(20, 40, 3)] == after
    with pytest.raises(UsageError, match="a box to follow"):
        Vit(picture(0), np.array([10, 10, 12, 40], np.float32), net=net)


def test_the_window_is_that_of_hann() -> None:
    assert np.allclose(hann(16), np.outer(np.hanning(18)[1:-1], np.hanning(18)[1:-1]), atol=1e-6)


def test_the_step_follows_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(CARDS["vittrack"], file=str(graph(tmp_path / "vit.onnx")), sha256="", url=None)
    monkeypatch.setitem(CARDS, "vittrack", card)
    frames = [Frame(picture(n), n, n / 10) for n in range(12)]
    with Run(frames, Follow(box="60,100,40,40", follower="vit")) as run:
        targets = [item["follow"] for item in run]
    assert [target.lost for target in targets] == [False] * 12
    assert abs((targets[-1].box[0] + targets[-1].box[2]) / 2 - centre(11)[0]) < 16


def test_what_is_no_vittrack_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"takes other, search and gives output1, .*: VitTrack"):
        VitNet(graph(tmp_path / "other.onnx", "other"), CARDS["vittrack"])
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="cannot be run by onnxruntime"):
        VitNet(tmp_path / "broken.onnx", CARDS["vittrack"])
