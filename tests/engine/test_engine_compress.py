"""Networks in int8: what stays in float, what the file carries, and how far the numbers move."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.numpy import load_file
from safetensors.torch import save_file
from tiny import MEAN, STD, Tiny, by_hand
from torch import Tensor

from vision.card import Card, Input
from vision.engine import check, load
from vision.engine.base import CannotRun
from vision.engine.compress import compress, float_nodes
from vision.engine.program import state_dict
from vision.errors import DataError, EngineError, UsageError
from vision.export.half import halve
from vision.export.int8_onnx import compress_onnx
from vision.nets import NETS
from vision.zoo import find


class AnySize(Tiny):
    """Tiny, with boxes that the size of the picture does not change."""

    def decode(self, outputs: tuple[Tensor, Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return outputs[0].softmax(1), outputs[1].flatten(2).transpose(1, 2).sigmoid() * 50


@pytest.fixture
def any_size(make_card: Callable[..., Card], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Card:
    module = ModuleType("vision.nets.any_size_for_tests")
    vars(module)["AnySize"] = AnySize
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(NETS, "any_size", "any_size_for_tests:AnySize")
    torch.manual_seed(0)
    save_file(AnySize().state_dict(), tmp_path / "any.safetensors")
    taken = Input((64, 48), "letterbox", mean=MEAN, std=STD)
    return make_card(net="any_size", file=str(tmp_path / "any.safetensors"), input=taken)


@pytest.fixture
def batches(pictures: np.ndarray) -> list[np.ndarray]:
    return [picture[None] for picture in pictures]


@pytest.mark.slow
def test_a_compressed_file_opens_and_stays_near(
    card: Card, batches: list[np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("nncf")
    odd = np.zeros((1, 48, 80, 3), np.uint8)                     # another size: cannot be looked at
    target = tmp_path / "tiny-int8.safetensors"
    made = compress(replace(card, int8=card), [*batches, odd], target, "pieces")
    assert "tiny-int8.safetensors takes pictures of 64x48 alone" in caplog.text     # decode knows the size
    found = find(target, "test")
    assert (found.form, found.names, found.tolerance) == ("openvino", card.names, card.tolerance)
    assert found.int8 is None                                     # else the other would run in its place
    assert made.source == found.source == "tiny in int8, ranges from 6 pictures of pieces"
    engine = load(found, "cpu")
    assert (engine.label, engine.input_wh) == ("openvino CPU int8", (64, 48))
    got, wanted = engine(np.concatenate(batches)), by_hand(card, np.concatenate(batches))
    engine.close()
    moved = [float(np.abs(g - w).max()) for g, w in zip(got, wanted, strict=True)]
    assert moved[0] < 0.01, moved                                # scores
    assert 0 < moved[1] < 1.0, moved                             # pixels: rounded, so not 0
    both = replace(card, int8=found, figures={"fp32": {"AP": 0.5}, "int8": {"AP": 0.495}})
    for options, label in (
        ({}, "openvino CPU int8"), ({"precision": "int8"}, "openvino CPU int8"),
        ({"precision": "fp32"}, "openvino CPU fp32"), ({"backend": "torch"}, "torch CPU fp32"),
    ):
        engine = load(both, "cpu", **options)
        assert engine.label == label
        near = engine(batches[0])[1]
        assert np.array_equal(near, got[1][:1]) == label.endswith("int8")
        engine.close()
    compared = {row.engine for row in check.check(both, [batches[0][0]])}
    assert compared >= {"openvino CPU int8", "openvino CPU fp32"}
    with pytest.raises(EngineError, match="vision compress tiny"):
        load(card, "cpu", "int8")
    engine = load(found, "cpu", "int8")                          # what a record says can be asked for
    assert (engine.backend, engine.device, engine.precision) == ("openvino", "cpu", "int8")
    engine.close()
    with pytest.raises(EngineError, match="openvino alone runs 'tiny-int8'"):
        load(found, "cpu", backend="torch")
    with pytest.raises(EngineError, match="nothing to compare"):
        list(check.check(found, [batches[0][0]]))


@pytest.mark.slow
def test_a_network_of_any_size_stays_one(
    any_size: Card, batches: list[np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("nncf")
    target = tmp_path / "any-int8.safetensors"
    made = compress(any_size, [*batches, np.ascontiguousarray(batches[0][:, :, :32])], target, "pieces")
    assert "alone" not in caplog.text
    assert made.source.startswith("any_size in int8, ranges from 7 pictures")
    engine, exact = load(find(target, "test"), "cpu"), load(any_size, "cpu", backend="torch")
    small = np.ascontiguousarray(batches[1][:, :32, :32])
    for picture in (batches[0], small, np.tile(batches[2], (1, 2, 2, 1))):
        got, wanted = engine(picture), exact(picture)
        assert got[1].shape == wanted[1].shape
        np.testing.assert_allclose(got[0], wanted[0], atol=0.02)
        np.testing.assert_allclose(got[1], wanted[1], atol=1.5)
    engine.close()
    exact.close()


@pytest.mark.slow
def test_layers_go_back_to_float_until_the_file_is_good_enough(
    card: Card, batches: list[np.ndarray], tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    target, moved = tmp_path / "tiny-int8.safetensors", []

    def good(path: Path) -> bool:
        engine = load(find(path, "test"), "cpu")
        got, wanted = engine(np.concatenate(batches)), by_hand(card, np.concatenate(batches))
        engine.close()
        moved.append(float(np.abs(got[1] - wanted[1]).max()))
        return len(moved) == 3

    made = compress(card, batches, target, "pieces", good)
    assert made.source == "tiny in int8 but for 2 of 3 layers, ranges from 6 pictures of pieces"
    assert moved[0] > moved[2]                                    # nearer with two layers in float than with none
    assert load(find(target, "test"), "cpu").label == "openvino CPU int8"


def test_onnxruntime_runs_int8_without_another_package(
    card: Card, batches: list[np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "tiny-int8.onnx"
    made = compress_onnx(card, batches, target, "pieces")
    assert "pre-processing" not in caplog.text
    found = find(target, "test")
    assert made.source == found.source == "tiny in int8, ranges from 6 pictures of pieces"
    assert (found.form, found.config["precision"], found.input.fixed) == ("onnx", "int8", True)
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    assert kinds.count("QuantizeLinear") >= 2
    engine = load(found, "cpu")
    assert (engine.label, engine.input_wh) == ("onnxruntime CPU int8", (64, 48))
    got, wanted = engine(np.concatenate(batches)), by_hand(card, np.concatenate(batches))
    engine.close()
    assert 0 < np.abs(got[0] - wanted[0]).max() < 0.02
    assert 0 < np.abs(got[1] - wanted[1]).max() < 2.0
    with pytest.raises(EngineError, match="onnxruntime alone runs 'tiny-int8'"):
        load(found, "cpu", backend="openvino")


def test_a_graph_of_an_older_onnx_becomes_one_that_runs(
    card: Card, batches: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = helper.make_tensor_value_info
    rng = np.random.default_rng(0)
    old = helper.make_model(helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["maps"], "conv", pads=[1, 1, 1, 1]),
         helper.make_node("Conv", ["maps", "v"], ["more"], "again"),
         helper.make_node("Squeeze", ["more"], ["y"], "squeezed", axes=[1])],        # an input since 13
        "old", [value("x", TensorProto.FLOAT, [1, 3, 48, 64])], [value("y", TensorProto.FLOAT, [1, 48, 64])],
        [onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
         for name, shape in (("w", (4, 3, 3, 3)), ("v", (1, 4, 1, 1)))]),
        opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    onnx.save(old, tmp_path / "old.onnx")
    source = replace(card, name="old", form="onnx", net="", file=str(tmp_path / "old.onnx"))
    compress_onnx(source, batches, tmp_path / "new.onnx", "pieces")
    engine, exact = load(find(tmp_path / "new.onnx", "test"), "cpu"), load(source, "cpu", "fp32", "onnxruntime")
    (got,), (wanted,) = engine(batches[0]), exact(batches[0])
    engine.close()
    exact.close()
    assert 0 < np.abs(got - wanted).max() < 0.03 * np.abs(wanted).max()
    monkeypatch.setattr("vision.export.int8_onnx._OPSET", 11)          # as if it were new enough
    with pytest.raises(CannotRun, match="onnxruntime does not run 'old' so"):
        compress_onnx(source, batches, tmp_path / "broken.onnx", "pieces")
    assert not list(tmp_path.glob("broken*"))


def test_pictures_of_another_size_are_refused(card: Card, batches: list[np.ndarray], tmp_path: Path) -> None:
    fixed = replace(card, input=replace(card.input, fixed=True))
    odd = [np.zeros((1, 40, 80, 3), np.uint8), *batches[:1], np.zeros((1, 40, 80, 3), np.uint8)]
    with pytest.raises(DataError, match=r"'tiny' takes 64x48 pixels; most of the pictures to quantise it .* 80x40"):
        compress_onnx(fixed, odd, tmp_path / "x.onnx", "nothing")
    with pytest.raises(DataError, match="there are none"):
        compress_onnx(card, [], tmp_path / "x.onnx", "nothing")
    assert not list(tmp_path.glob("x*"))


def test_half_precision_halves_the_bytes_and_rounds_weights_alone(
    card: Card, batches: list[np.ndarray], tmp_path: Path
) -> None:
    made = halve(card, tmp_path / "half.safetensors")
    tensors = load_file(tmp_path / "half.safetensors")
    assert {str(t.dtype) for t in tensors.values()} == {"float16", "int64"}
    assert made.source == "tiny in half precision"
    found = find(tmp_path / "half.safetensors", "test")
    engine = load(found, "cpu", "fp32")
    moved = np.abs(engine(batches[0])[1] - by_hand(card, batches[0])[1]).max()
    engine.close()
    assert 0 < moved < 0.1                                        # of 64 pixels
    torch.save(state_dict(Path(card.file)), tmp_path / "foreign.pth")
    halve(replace(card, file=str(tmp_path / "foreign.pth")), tmp_path / "again.safetensors")
    again = load_file(tmp_path / "again.safetensors")
    assert all(np.array_equal(again[name], values) for name, values in tensors.items())
    with pytest.raises(UsageError, match=r"in half precision is a \.safetensors file; got 'x\.onnx'"):
        halve(card, tmp_path / "x.onnx")
    whole = find("facemesh")
    made = halve(whole, tmp_path / "mesh.onnx")
    kinds = {t.data_type for t in onnx.load(tmp_path / "mesh.onnx").graph.initializer if np.prod(t.dims) >= 16}
    assert TensorProto.FLOAT not in kinds
    picture = np.random.default_rng(0).integers(0, 256, (1, 192, 192, 3), np.uint8)
    one, other = (load(c, "cpu", "fp32", "onnxruntime") for c in (whole, find(tmp_path / "mesh.onnx")))
    assert np.abs(one(picture)[0] - other(picture)[0]).max() < 1.0
    with pytest.raises(CannotRun, match="form 'openvino', whose weights stay"):
        halve(find("gfl-voc-int8"), tmp_path / "x.safetensors")


def test_there_must_be_pictures(card: Card, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    with pytest.raises(DataError, match="there are none"):
        compress(card, [], tmp_path / "x.safetensors", "nothing")
    assert not list(tmp_path.iterdir())


def test_what_lies_before_and_behind_the_layers_stays_in_float() -> None:
    def node(kind: str, name: str, *inputs: str) -> onnx.NodeProto:
        return helper.make_node(kind, [*inputs], [name], name)

    nodes = [
        node("Cast", "cast", "x"), node("Mul", "scale", "cast", "s"),
        node("Conv", "conv1", "scale", "w"), node("Relu", "relu", "conv1"),
        node("Add", "residual", "relu", "conv2"), node("Conv", "conv2", "relu", "w"),
        node("Conv", "conv3", "residual", "w"), node("Sigmoid", "scores", "conv3"),
        node("Softmax", "bins", "conv3"), node("Conv", "/model/dfl/Conv", "bins", "w"),
        node("Shape", "shape", "relu"), node("Resize", "resize", "conv2", "shape"),
        node("Conv", "conv4", "resize", "w"),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "scores", "conv4")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    assert float_nodes(graph) == {"cast", "scale", "scores", "bins", "/model/dfl/Conv"}


def test_what_is_compared_stays_in_float_and_a_layer_that_is_does_not() -> None:
    """SegNet's unpooling asks where the maximum was: a maximum that was rounded is nowhere."""
    def node(kind: str, name: str, *inputs: str) -> onnx.NodeProto:
        return helper.make_node(kind, [*inputs], [name], name)

    nodes = [
        node("Conv", "conv1", "x", "w"), node("MaxPool", "best", "conv1"), node("Slice", "corner", "conv1"),
        node("Equal", "which", "corner", "best"), node("Conv", "conv2", "best", "w"),
        node("Where", "back", "which", "conv2", "zero"), node("Equal", "again", "conv2", "back"),
        node("Conv", "conv3", "back", "w"),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "conv3")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    assert float_nodes(graph) == {"best", "corner", "which", "again", "back"}


def test_a_card_with_its_size_says_it(card: Card) -> None:
    from vision.engine.program import program_of

    assert program_of(card).input_wh is None
    for form in ("network", "openvino"):
        fixed = replace(card, form=form, input=replace(card.input, fixed=True))
        assert program_of(fixed).input_wh == (64, 48)
