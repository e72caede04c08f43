"""`vision export`: files of other formats give what their source gives, and one that does not gets no name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tiny import by_hand
from typer.testing import CliRunner

from vision.card import Card
from vision.cli import app
from vision.cli.measured import photographs, picture_of
from vision.engine import load
from vision.engine.base import CannotRun
from vision.errors import EngineError, UsageError, WeightsError
from vision.export import FORMATS, export
from vision.export import formats as written
from vision.inside import card_inside
from vision.tasks.classify import Classifier
from vision.tasks.detect import Detector
from vision.tasks.segment import Segmenter
from vision.zoo import find

PICTURES = [picture_of(path) for path in photographs()]
BATCH = np.random.default_rng(3).integers(0, 256, (1, 48, 64, 3), np.uint8)


@pytest.fixture
def tiny(make_card: Callable[..., Card]) -> Card:
    """A small network of no shipped kind, whose traced graph is for one size."""
    return make_card(task="detect", names=tuple("abcde"))


@pytest.mark.parametrize("form", ["onnx", "openvino", "torchscript"])
def test_a_file_gives_what_its_source_gives_and_carries_its_card(tiny: Card, tmp_path: Path, form: str) -> None:
    target = tmp_path / f"out{FORMATS[form].suffix}"
    made = export(tiny, target, PICTURES, form)
    assert made.accepted
    assert made.difference.relative < 1e-5
    assert made.difference.pictures == 4                 # two alone, and the two together
    card = find(target)
    assert (card.names, card.task, card.input.size_wh, card.input.fixed) == (tiny.names, "detect", (64, 48), True)
    engine = load(card, "cpu", "fp32")
    for one, other in zip(engine(BATCH), by_hand(tiny, BATCH), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    engine.close()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".export")] == []


def test_anybody_runs_the_onnx_file_on_bytes_and_batches(tiny: Card, tmp_path: Path) -> None:
    export(tiny, tmp_path / "out.onnx", PICTURES)
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    batch = np.concatenate([BATCH, 255 - BATCH, BATCH])
    found = session.run(None, {session.get_inputs()[0].name: batch})
    for one, other in zip(found, by_hand(tiny, batch), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["names"] == '["a", "b", "c", "d", "e"]'


def test_a_file_may_take_batches_of_one_number_and_opens_here_all_the_same(tiny: Card, tmp_path: Path) -> None:
    for form in ("onnx", "openvino"):
        target = tmp_path / f"four{FORMATS[form].suffix}"
        made = export(tiny, target, PICTURES, form, batch="4")
        assert (made.batch, made.accepted, made.difference.pictures) == (4, True, 6)
        engine = load(find(target), "cpu", "fp32")
        np.testing.assert_allclose(engine(BATCH)[1], by_hand(tiny, BATCH)[1], atol=1e-4)
        engine.close()
    session = onnxruntime.InferenceSession(str(tmp_path / "four.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [4, 48, 64, 3]
    assert [output.shape[0] for output in session.get_outputs()] == [4, 4]
    batch = np.concatenate([BATCH, 255 - BATCH, BATCH, BATCH])
    np.testing.assert_allclose(session.run(None, {"batch": batch})[1], by_hand(tiny, batch)[1], atol=1e-4)
    with pytest.raises(UsageError, match="--batch is auto, any or a number up to 1024; got '0'"):
        export(tiny, tmp_path / "a.onnx", PICTURES, batch="0")
    with pytest.raises(CannotRun, match="takes any number of pictures or one: --batch any"):
        export(tiny, tmp_path / "a.torchscript", PICTURES, "torchscript", batch="4")


def test_a_file_of_a_file_is_read_as_its_source(tiny: Card, tmp_path: Path) -> None:
    """Of OpenVINO's own graphs one in float stays so, and how outputs are read goes on to each."""
    source = replace(export(tiny, tmp_path / "tiny.onnx", PICTURES).card, config={"faces": "arcface"})
    export(source, tmp_path / "one.xml", PICTURES, "openvino")
    export(tmp_path / "one.xml", tmp_path / "two.xml", PICTURES, "openvino")
    found = find(tmp_path / "two.xml")
    assert dict(found.config) == {"faces": "arcface"}
    engine = load(found, "cpu")
    assert engine.label == "openvino CPU fp32"
    np.testing.assert_allclose(engine(BATCH)[1], by_hand(tiny, BATCH)[1], atol=1e-4)
    engine.close()


@pytest.mark.slow
def test_a_file_of_a_compressed_one_stays_compressed_and_is_read_as_it_was(tiny: Card, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    from vision.engine.compress import compress

    source = replace(export(tiny, tmp_path / "tiny.onnx", PICTURES).card, config={"faces": "arcface"})
    compress(source, [BATCH], tmp_path / "small.safetensors", "noise")
    assert export(tmp_path / "small.safetensors", tmp_path / "out.xml", PICTURES, "openvino").accepted
    found = find(tmp_path / "out.xml")
    assert dict(found.config) == {"faces": "arcface", "precision": "int8"}
    engine = load(found, "cpu")
    assert engine.label == "openvino CPU int8"
    engine.close()


def test_a_file_that_differs_is_kept_as_rejected_alone(
    tiny: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = written.FORMATS["onnx"]

    factor = -3.0

    def broken(program: Any, shape: Any, batch: int, card: Card, target: Path) -> None:
        import onnx

        assert good.write is not None
        good.write(program, shape, batch, card, target)
        model = onnx.load(target)
        for tensor in model.graph.initializer:
            if tensor.name == "net.scores.weight":
                tensor.raw_data = (onnx.numpy_helper.to_array(tensor) * np.float32(factor)).tobytes()
        onnx.save(model, target)

    monkeypatch.setitem(written.FORMATS, "onnx", replace(good, write=broken))
    made = export(tiny, tmp_path / "out.onnx", PICTURES)
    assert not made.accepted
    assert made.difference.relative > 0.01
    assert made.path == tmp_path / "out.onnx.rejected"
    assert made.path.is_file()
    assert not (tmp_path / "out.onnx").exists()
    assert export(tiny, tmp_path / "b.onnx", PICTURES, max_drop=100.0).accepted
    factor = float("nan")
    assert not export(tiny, tmp_path / "c.onnx", PICTURES, max_drop=100.0).accepted


def test_the_metric_judges_where_there_is_one(tiny: Card, tmp_path: Path) -> None:
    fell = [0.02, 0.01]
    first = export(tiny, tmp_path / "a.onnx", PICTURES, metric=lambda path: fell[0])
    assert (first.accepted, first.drop) == (False, 0.02)
    assert export(tiny, tmp_path / "b.onnx", PICTURES, metric=lambda path: fell[1]).accepted


def test_what_cannot_be_is_said_in_one_line(tiny: Card, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="tensorrt needs the package 'tensorrt': pip install tensorrt"):
        export(tiny, tmp_path / "a.engine", PICTURES, "tensorrt")
    with pytest.raises(CannotRun, match=r"tflite cannot hold 'facemesh'.*Those that may: onnx, openvino"):
        export("facemesh", tmp_path / "a.tflite", PICTURES, "tflite")
    with pytest.raises(CannotRun, match=r"torchscript cannot hold 'facemesh'.*Those that may: onnx, openvino"):
        export("facemesh", tmp_path / "a.torchscript", PICTURES, "torchscript")
    with pytest.raises(CannotRun, match=r"onnx cannot hold 'gfl-voc-int8'.*may: openvino"):
        export("gfl-voc-int8", tmp_path / "a.onnx", PICTURES)
    with pytest.raises(UsageError, match=r"ends in \.xml; got 'a\.onnx'"):
        export(tiny, tmp_path / "a.onnx", PICTURES, "openvino")
    with pytest.raises(UsageError, match="no format 'caffe'"):
        export(tiny, tmp_path / "a.onnx", PICTURES, "caffe")
    with pytest.raises(UsageError, match=r"no graph that is right for every size: --size auto \(64x48\)"):
        export(tiny, tmp_path / "a.onnx", PICTURES, size="any")
    (tmp_path / "b.xml").write_text("<net/>")
    with pytest.raises(WeightsError, match=r"b\.xml"):
        find(tmp_path / "b.xml")
    assert list(tmp_path.glob("a*")) == []


def test_a_network_whose_steps_depend_on_the_picture_is_refused(tiny: Card, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="onnx cannot hold 'tiny': only torch runs"):
        export(replace(tiny, config={"traceable": False}), tmp_path / "a.onnx", PICTURES)
    with pytest.raises(CannotRun, match="torchscript cannot hold 'tiny': its steps depend on the picture"):
        export(replace(tiny, config={"traceable": False}), tmp_path / "a.torchscript", PICTURES, "torchscript")


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", "iris", "-o", str(tmp_path / "iris.onnx")])
    assert result.exit_code == 0, result.output
    assert "iris for iris, 2.6 MB; takes uint8 BGR of 64x64" in result.output.replace("\n", " ")
    assert "largest difference" in result.output
    carried = card_inside(tmp_path / "iris.onnx")
    assert carried is not None
    assert carried.form == "onnx"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [
    ("mobilenet-v2", Classifier), ("gfl-voc", Detector), ("segnet-mobilenetv2-camvid", Segmenter),
])
def test_a_task_opens_the_file_and_finds_the_same(name: str, kind: Any, tmp_path: Path) -> None:
    # SegNet's graph for batches is traced anew and rounds otherwise: of two level maxima in a window the other is taken
    export(name, tmp_path / "out.onnx", PICTURES[:1], batch="1" if kind is Segmenter else "auto")
    with kind.load(name, "cpu", "fp32", "onnxruntime") as source, kind.load(
            tmp_path / "out.onnx", "cpu", "fp32", "onnxruntime") as file:
        one, other = source(PICTURES[0]), file(PICTURES[0])
    if kind is Detector:
        assert len(one) >= 1
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.1)
        np.testing.assert_array_equal(one.labels, other.labels)
    elif kind is Classifier:
        np.testing.assert_allclose(one.probs, other.probs, atol=1e-4)
    else:
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("name", ["facemesh", "blazepose-full", "ppocrv6-tiny-rec"])
def test_a_closer_look_opens_the_file_and_finds_the_same(name: str, tmp_path: Path) -> None:
    from vision import FaceLandmarker, PoseEstimator, TextReader

    kind: Any = {"facemesh": FaceLandmarker, "blazepose-full": PoseEstimator, "ppocrv6-tiny-rec": TextReader}[name]
    assert export(name, tmp_path / "out.onnx", PICTURES[:1]).difference.relative < 1e-4
    with kind.load(name, "cpu", "fp32", "onnxruntime") as source, kind.load(
            str(tmp_path / "out.onnx"), "cpu", "fp32", "onnxruntime") as file:
        assert file.names == source.names
        assert file.card.form == "onnx"
        batch = np.zeros((1, *source.card.input.size_wh[::-1], 3), np.uint8)
        batch[0, 10:30, 20:60] = (40, 160, 220)
        for one, other in zip(source.engine(batch), file.engine(batch), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
