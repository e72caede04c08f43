"""The gate on real pictures, and an identity that only the user can bring."""

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
from apps.face_unlock import TEMPLATE, Gate, Identity, aligned
from vision.engine import FakeEngine
from vision.errors import UsageError
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


def test_an_aligned_face_meets_the_template(landmarker: FaceLandmarker, zidane: Image):
    faces = landmarker(zidane)
    face = faces[int(np.argmax(faces.boxes[:, 0]))]
    picture = aligned(zidane, face)
    assert picture.shape == (112, 112, 3)
    large = cv2.resize(picture, (448, 448), interpolation=cv2.INTER_CUBIC)
    (again,) = landmarker(cv2.copyMakeBorder(large, 100, 100, 100, 100, cv2.BORDER_REPLICATE))
    five = (again.points[0, list(face_unlock.FIVE)] - 100) / 4
    assert np.linalg.norm(five - TEMPLATE, axis=1).max() < 7                # an old face is not the mean one
    assert abs(again.angles[0, 2]) < 5


def test_an_identity_is_a_unit_vector(landmarker: FaceLandmarker, ancelotti: Image):
    identity = Identity(FakeEngine(lambda batch: (np.array([[3.0, 4.0]], np.float32),)))
    assert identity(ancelotti, landmarker(ancelotti)).tolist() == pytest.approx([0.6, 0.8])


def test_nobody_is_identified_without_the_users_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(UsageError, match="no identity network ships"):
        Identity.load(None, "sface")
    with pytest.raises(UsageError, match="no layout 'facenet'"):
        Identity.load(tmp_path / "x.onnx", "facenet")
    monkeypatch.setattr(sys, "argv", ["face_unlock", "verify", "clip.mp4"])
    with pytest.raises(SystemExit) as end:
        face_unlock.main()
    assert end.value.code == UsageError.exit_code


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


def test_gate_enrol_verify(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, embedding: Path, ancelotti: Image,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    for name, image in (("me.mp4", ancelotti), ("other.mp4", ancelotti[..., ::-1].copy())):
        with VideoWriter(name) as out:
            for i in range(20):
                out.write(image, i / RATE)
    mine = ("--embedding", embedding, "--layout", "arcface", "--profile", "me.npz")
    assert run(monkeypatch, "gate", "me.mp4") == 0
    assert "nobody has been identified" in capsys.readouterr().out
    assert run(monkeypatch, "gate", "me.mp4", "--blink") == 1                 # nobody blinks in it
    assert run(monkeypatch, "verify", "me.mp4", *mine) != 0                   # nobody is enrolled yet
    assert run(monkeypatch, "enrol", "me.mp4", *mine, "--count", "3") == 0
    assert run(monkeypatch, "verify", "me.mp4", *mine, "--min-similarity", "0.99") == 0
    assert run(monkeypatch, "verify", "other.mp4", *mine, "--min-similarity", "0.99") == 1
    assert "another person" in capsys.readouterr().out
    assert run(monkeypatch, "enrol", "me.mp4", *mine, "--count", "50") != 0   # too few passed
