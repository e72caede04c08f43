"""The gate on real pictures, and who is let through."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from apps import face_unlock
from apps.face_unlock import Gate
from vision.errors import DataError
from vision.people.face import Faces
from vision.people.landmarks import FaceLandmarker
from vision.sinks.film import VideoWriter
from vision.types import Image

RATE = 25.0


def reasons(gate: Gate, images: list[Image]) -> list[str]:
    return [gate(image, i / RATE).reason for i, image in enumerate(images)]


def test_open_eyes_for_half_a_second(landmarker: FaceLandmarker, ancelotti: Image):
    assert reasons(Gate(landmarker), [ancelotti] * 16) == ["keep both eyes open"] * 13 + ["ready"] * 3


def test_closed_eyes_start_the_clock_again(
    landmarker: FaceLandmarker, ancelotti: Image, close_eyes: Callable[[Image, Faces], Image]
):
    shut = close_eyes(ancelotti, landmarker(ancelotti))
    told = reasons(Gate(landmarker), [ancelotti] * 10 + [shut] * 3 + [ancelotti] * 15)
    assert told == ["keep both eyes open"] * 26 + ["ready"] * 2


def test_a_blink_on_request(
    landmarker: FaceLandmarker, ancelotti: Image, close_eyes: Callable[[Image, Faces], Image]
):
    """A blink before it was asked for does not count."""
    shut = close_eyes(ancelotti, landmarker(ancelotti))
    early = [ancelotti] * 3 + [shut] * 3 + [ancelotti] * 16
    told = reasons(Gate(landmarker, blink=True), early + [shut] * 3 + [ancelotti] * 15)
    assert told[: len(early)][-3:] == ["blink once"] * 3
    assert "ready" not in told[: len(early) + 3]
    assert told[-1] == "ready"


def test_what_is_in_the_way(landmarker: FaceLandmarker, zidane: Image, ancelotti: Image):
    glasses = ancelotti.copy()
    for x, y in landmarker(ancelotti).points[0, [468, 473]].astype(int).tolist():
        cv2.ellipse(glasses, (x, y), (24, 17), 0, 0, 360, (12, 12, 12), cv2.FILLED, cv2.LINE_AA)
    in_the_way = {
        "nobody is there": np.zeros((480, 640, 3), np.uint8),
        "one face at a time, not 2": zidane,
        "come nearer": cv2.resize(ancelotti, (160, 160), interpolation=cv2.INTER_AREA),
        "look into the camera": np.ascontiguousarray(zidane[150:720, 300:800]),         # shouts to the side
        "the eyes cannot be seen: more light, no dark glasses, hold still": glasses,
    }
    for reason, image in in_the_way.items():
        assert reasons(Gate(landmarker), [image] * 16) == [reason] * 16
    blurred = cv2.GaussianBlur(ancelotti, (0, 0), 4.0)
    assert set(reasons(Gate(landmarker), [blurred] * 16)) == {"the eyes cannot be seen: more light, no dark "
                                                              "glasses, hold still"}


@pytest.fixture
def embedding(tmp_path: Path) -> Path:
    """An ONNX file of the ArcFace layout that knows no faces: colours on a grid of 4x4."""
    nodes = [
        helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[28, 28], strides=[28, 28]),
        helper.make_node("Flatten", ["pooled"], ["vector"]),
    ]
    shapes = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, 112, 112])]
    out = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["B", 48])]
    graph = helper.make_graph(nodes, "grid", shapes, out)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "grid.onnx")
    return tmp_path / "grid.onnx"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["face_unlock", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        face_unlock.main()
    return int(end.value.code or 0)


@pytest.fixture
def films(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, zidane: Image, ancelotti: Image) -> None:
    """me.mp4 and other.mp4, a second each: Ancelotti, and somebody who is made of him with another face's shape."""
    monkeypatch.chdir(tmp_path)
    wider = np.ascontiguousarray(cv2.resize(ancelotti, (640, 430))[:, ::-1])
    for name, image in (("me.mp4", ancelotti), ("other.mp4", wider)):
        with VideoWriter(name) as out:
            for i in range(20):
                out.write(image, i / RATE)


@pytest.mark.usefixtures("films")
def test_gate_enrol_verify_with_what_ships(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch, "gate", "me.mp4") == 0
    assert "nobody has been identified" in capsys.readouterr().out
    assert run(monkeypatch, "gate", "me.mp4", "--blink") == 1                 # nobody blinks in it
    assert run(monkeypatch, "gate", "me.mp4", "--live") == 1                  # nor turns his head
    assert run(monkeypatch, "verify", "me.mp4") == DataError.exit_code        # nobody is enrolled yet
    assert run(monkeypatch, "enrol", "me.mp4", "--count", "3", "--name", "Carlo") == 0
    assert run(monkeypatch, "verify", "me.mp4") == 0
    assert "Carlo: distance 0.0" in capsys.readouterr().out
    assert run(monkeypatch, "verify", "me.mp4", "--max-distance", "0") == 1
    assert "a stranger: distance" in capsys.readouterr().out
    assert run(monkeypatch, "enrol", "me.mp4", "--count", "50") != 0          # too few passed


@pytest.mark.usefixtures("films")
def test_a_file_of_the_users(monkeypatch: pytest.MonkeyPatch, embedding: Path, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch, "enrol", "me.mp4", "--model", embedding, "--count", "2") == 0
    assert run(monkeypatch, "verify", "me.mp4", "--model", embedding, "--count", "1") == 0
    assert run(monkeypatch, "verify", "other.mp4", "--model", embedding, "--max-distance", "0.05") == 1
    assert run(monkeypatch, "verify", "me.mp4") == DataError.exit_code        # of another network
    assert "was made with 'grid'" in capsys.readouterr().err
