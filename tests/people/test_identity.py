"""Vectors of faces: alignment, the network against what is known of it, other people's files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from vision.card import Card
from vision.engine import FakeEngine
from vision.errors import ModelError, WeightsError
from vision.people.face import Faces
from vision.people.identity import LAYOUTS, FaceEmbedder, aligned, distances
from vision.people.landmarks import FaceLandmarker
from vision.people.quality import Quality, quality
from vision.types import Image
from vision.zoo import CARDS


@pytest.fixture(scope="session")
def embedder() -> FaceEmbedder:
    return FaceEmbedder.load(precision="fp32")


@settings(max_examples=30)
@given(st.floats(-3.1, 3.1), st.floats(0.2, 5), st.floats(-50, 300), st.floats(-50, 300))
def test_points_meet_their_places(angle: float, scale: float, x: float, y: float) -> None:
    places = np.array(LAYOUTS["dlib"].places)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale * 100
    points = (places @ turn.T + [x, y]).astype(np.float32)
    view = aligned(np.zeros((64, 64, 3), np.uint8), points, places, 150)
    assert np.abs(view.points_from_frame(points) - places * 150).max() < 0.05
    assert view.pixels.shape == (150, 150, 3)


def test_points_on_one_spot_are_no_crash() -> None:
    view = aligned(np.zeros((8, 8, 3), np.uint8), np.ones((5, 2), np.float32), np.array(LAYOUTS["dlib"].places), 150)
    assert view.pixels.shape == (150, 150, 3)


def test_dlibs_places_are_dlibs() -> None:
    """Its mean face (eye corners, base of the nose), a quarter of its size around it on each side."""
    mean = [(0.121737, 0.216423), (0.334606, 0.231733), (0.645647, 0.231733), (0.858516, 0.216423),
            (0.490127, 0.628106)]
    assert np.abs((np.array(mean) + 0.25) / 1.5 - LAYOUTS["dlib"].places).max() < 0.003


def test_two_people_on_a_photograph(embedder: FaceEmbedder, landmarker: FaceLandmarker, zidane: Image) -> None:
    faces = landmarker(zidane)
    vectors = embedder(zidane, faces)
    assert vectors.shape == (2, 128)
    apart = float(np.linalg.norm(vectors[0] - vectors[1]))
    assert LAYOUTS["dlib"].same < apart < 0.75
    again = embedder(cv2.resize(zidane, (960, 540)), landmarker(cv2.resize(zidane, (960, 540))))
    near = distances(vectors, again)
    assert near.min(axis=1).max() < 0.25
    assert embedder(zidane, faces[:0]).shape[0] == 0


def test_a_face_and_its_mirror_image_are_one(
    embedder: FaceEmbedder, landmarker: FaceLandmarker, ancelotti: Image
) -> None:
    mirrored = np.ascontiguousarray(ancelotti[:, ::-1])
    a, b = (embedder(image, landmarker(image))[0] for image in (ancelotti, mirrored))
    assert np.linalg.norm(a - b) < 0.12


def one_face(points: np.ndarray) -> Faces:
    """A face with points (1,478,2), of which nothing else matters."""
    return Faces([[0, 0, 9, 9]], points, np.ones((1, 478)), [0], np.zeros((1, 3)), np.ones((1, 2)), np.ones((1, 2)),
                 [0], np.zeros((1, 2)), [1])


def test_unit_vectors_where_the_layout_says_so() -> None:
    card = Card(name="mine", task="identity", file="", licence="", source="", input=CARDS["dlib-face"].input,
                config={"faces": "arcface"})
    seen: list[np.ndarray] = []

    def network(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(batch)
        return (np.array([[3.0, 4.0]], np.float32),)

    face = one_face(np.random.default_rng(0).uniform(0, 60, (1, 478, 2)))
    picture = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    vectors = FaceEmbedder(FakeEngine(network), card)(picture, face)
    assert vectors.tolist() == [pytest.approx([0.6, 0.8])]
    assert (seen[0][0] == seen[1][0][:, ::-1]).all()                      # the picture, then its mirror image


def made_file(path: Path, side: int, normalises: bool) -> Path:
    """An ONNX file of a face network's shape: the means of the colours."""
    first = [helper.make_node("Sub", ["image", "half"], ["a"]), helper.make_node("Mul", ["a", "by"], ["b"])]
    nodes = [*(first if normalises else []),
             helper.make_node("GlobalAveragePool", ["b" if normalises else "image"], ["p"]),
             helper.make_node("Flatten", ["p"], ["vector"])]
    graph = helper.make_graph(
        nodes, "made", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor("half", TensorProto.FLOAT, [], [127.5]),
         helper.make_tensor("by", TensorProto.FLOAT, [], [1 / 127.5])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("normalises", [True, False])
def test_files_of_others(tmp_path: Path, normalises: bool) -> None:
    """Whether the graph normalises by itself or not, it sees the same."""
    with FaceEmbedder.load(made_file(tmp_path / "made.onnx", 112, normalises)) as embedder:
        (vector,) = embedder.engine(np.full((1, 112, 112, 3), [51, 102, 204], np.uint8))
        assert vector[0].tolist() == pytest.approx([(204 - 127.5) / 127.5, (102 - 127.5) / 127.5, (51 - 127.5) / 127.5],
                                                   abs=1e-3)
        assert embedder.layout is LAYOUTS["arcface"]


@pytest.mark.parametrize("normalises", [True, False])
def test_vectors_of_a_file_are_numpys(tmp_path: Path, normalises: bool) -> None:
    """A graph of random weights by `--model`, ArcFace's layout and SFace's, against the same arithmetic in NumPy."""
    draw = np.random.default_rng(3)
    weights = draw.normal(size=(3 * 8 * 8, 16)).astype(np.float32)
    path = made_file(tmp_path / "random.onnx", 112, normalises)
    model = onnx.load(path)
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    pool.CopyFrom(helper.make_node("AveragePool", pool.input, ["p"], kernel_shape=[14, 14], strides=[14, 14]))
    model.graph.node[-1].output[0] = "flat"
    model.graph.node.append(helper.make_node("MatMul", ["flat", "weights"], ["vector"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "weights"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 16
    onnx.save(model, path)
    picture = draw.integers(0, 255, (200, 200, 3), np.uint8)
    faces = one_face(draw.uniform(40, 160, (1, 478, 2)))
    with FaceEmbedder.load(path, backend="onnxruntime") as embedder:
        (vector,) = embedder(picture, faces)
        chip = embedder.chip(picture, faces.points[0]).pixels
    looks = []
    for seen in (chip, chip[:, ::-1]):
        rgb = (seen[..., ::-1].astype(np.float64) - 127.5) / 127.5
        blocks = rgb.reshape(8, 14, 8, 14, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
        look = blocks.ravel() @ weights
        looks.append(look / np.linalg.norm(look))
    mean = (looks[0] + looks[1]) / 2
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-4)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no file"):
        FaceEmbedder.load(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="112x112"):
        FaceEmbedder.load(made_file(tmp_path / "small.onnx", 96, False))
    with pytest.raises(ModelError, match="not for identity"):
        FaceEmbedder.load("facemesh")


def test_quality(embedder: FaceEmbedder, landmarker: FaceLandmarker, ancelotti: Image) -> None:
    def judged(image: Image) -> Quality:
        faces = landmarker(image, min_face=12)
        assert len(faces) == 1
        return quality(faces, 0, embedder.chip(image, faces.points[0]).pixels)

    assert judged(ancelotti) == Quality.GOOD
    small = cv2.resize(ancelotti, None, fx=20 / 140, fy=20 / 140, interpolation=cv2.INTER_AREA)
    room = np.full((240, 320, 3), 128, np.uint8)
    room[60 : 60 + small.shape[0], 60 : 60 + small.shape[1]] = small
    assert judged(room) == Quality.SMALL                                 # 20 pixels wide
    assert judged(cv2.GaussianBlur(ancelotti, (0, 0), 6.0)) == Quality.BLURRED
    assert judged((ancelotti.astype(np.float32) * 0.08 + 20).astype(np.uint8)) == Quality.FLAT


@pytest.mark.realdata
@pytest.mark.slow
def test_verification_on_pictures_of_others(data: Path) -> None:
    """AUC, false matches, and strangers, on half of the people that the project has."""
    from vision.data.faces import pictures_of_people
    from vision.metrics.verification import identification, verification
    from vision.people.enrol import Looker

    pictures = pictures_of_people(data / "faces/images")
    names = sorted({name for _, name in pictures})
    assert len(names) == 28
    chosen = [(path, names.index(name)) for path, name in pictures if names.index(name) % 2]
    looker = Looker(FaceLandmarker.load(), FaceEmbedder.load(precision="fp32"))
    seen = [(looker(cv2.imread(str(path))).vector, who) for path, who in chosen]
    vectors = np.stack([vector for vector, _ in seen if vector is not None])
    people = np.array([who for vector, who in seen if vector is not None])
    assert len(people) >= 0.97 * len(chosen)
    pairs = verification(vectors, people, 0.55)
    assert pairs.auc > 0.98
    assert pairs.false_match < 0.01
    assert pairs.false_non_match < 0.35
    found = identification(vectors, people, 0.46)
    assert found.named < 0.01
    assert found.wrong < 0.01
    assert found.right > 0.6
