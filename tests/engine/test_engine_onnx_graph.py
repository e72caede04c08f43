"""Foreign ONNX files under the engine's contract."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vision.card import Card, Input
from vision.engine import load
from vision.engine.program import program_of
from vision.errors import EngineError, ModelError

WEIGHTS = np.array([[1.0, 10.0, 100.0], [0.5, -0.25, 2.0]], np.float32)       # (2 outputs, RGB)


def graph(path: Path, shape: list[int | str], kind: int = TensorProto.FLOAT) -> Path:
    """A 1x1 convolution of an image of `shape`, then the mean over the picture: (B,2)."""
    planar = shape[1] == 3
    constants = [numpy_helper.from_array(WEIGHTS.reshape(2, 3, 1, 1), "w")]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose" if not planar else "Identity", ["float"], ["chw"],
                         **({} if planar else {"perm": [0, 3, 1, 2]})),
        helper.make_node("Conv", ["chw", "w"], ["mixed"]),
        helper.make_node("ReduceMean", ["mixed"], ["out"], axes=[2, 3], keepdims=0),
    ]
    image = helper.make_tensor_value_info("image", kind, shape)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [shape[0], 2])
    model = helper.make_model(
        helper.make_graph(nodes, "foreign", [image], [out], constants),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def card(path: Path, **changes: object) -> Card:
    values: dict[str, object] = {
        "name": path.stem, "task": "test", "form": "onnx", "file": str(path), "licence": "ours",
        "source": "made", "input": Input((64, 48), "stretch", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    }
    return Card(**{**values, **changes})


def expected(batch: np.ndarray, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    rgb = (batch[..., ::-1].astype(np.float64) / 255 - mean) / std
    return rgb.mean((1, 2)) @ WEIGHTS.T.astype(np.float64)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "opencv"])
@pytest.mark.parametrize(("shape", "options"), [
    ([1, 3, 48, 64], {}),                                              # YOLO
    ([1, 48, 64, 3], {"input": Input((64, 48), "stretch", mean=(0.5,) * 3, std=(0.5,) * 3)}),         # TFLite in -1..1
    (["batch", 3, "height", "width"], {}),                             # YOLO, dynamic
])
def test_float_rgb_becomes_uint8_bgr(
    tmp_path: Path, pictures: np.ndarray, backend: str, shape: list[int | str], options: dict[str, object]
) -> None:
    engine = load(card(graph(tmp_path / "net.onnx", shape), **options), "cpu", backend=backend)
    halved = (0.5, 0.5) if options else (0.0, 1.0)
    np.testing.assert_allclose(engine(pictures)[0], expected(pictures, *halved), rtol=1e-4, atol=1e-4)
    assert engine.input_wh == (None if "batch" in shape else (64, 48))
    engine.close()


def test_a_graph_of_one_size_refuses_others(tmp_path: Path) -> None:
    engine = load(card(graph(tmp_path / "net.onnx", [1, 3, 48, 64])), "cpu")
    with pytest.raises(EngineError, match="64x48; got 64x64"):
        engine(np.zeros((1, 64, 64, 3), np.uint8))


def test_any_size_where_the_graph_takes_any(tmp_path: Path, pictures: np.ndarray) -> None:
    engine = load(card(graph(tmp_path / "net.onnx", ["b", 3, "h", "w"])), "cpu")
    for batch in (pictures, np.ascontiguousarray(pictures[:2, :32, :32])):
        np.testing.assert_allclose(engine(batch)[0], expected(batch), rtol=1e-4)
    engine.close()


def test_uint8_input_passes_unchanged(tmp_path: Path, pictures: np.ndarray) -> None:
    path = graph(tmp_path / "net.onnx", [1, 48, 64, 3], TensorProto.UINT8)
    engine = load(card(path), "cpu")
    by_bgr = pictures.astype(np.float64).mean((1, 2)) @ WEIGHTS.T             # the graph's own business
    np.testing.assert_allclose(engine(pictures)[0], by_bgr, rtol=1e-4)
    before, after = onnx.load(path).graph, onnx.load_from_string(program_of(card(path)).onnx((48, 64, 3))).graph
    assert after == before
    engine.close()


def test_layout_from_the_card_where_the_shape_is_silent(tmp_path: Path, pictures: np.ndarray) -> None:
    path = graph(tmp_path / "net.onnx", ["b", "h", "w", "c"])
    with pytest.raises(ModelError, match="layout"):
        load(card(path), "cpu")
    engine = load(card(path, config={"layout": "NHWC"}), "cpu", backend="onnxruntime")
    np.testing.assert_allclose(engine(pictures)[0], expected(pictures), rtol=1e-4)
    engine.close()


def test_float16_input(tmp_path: Path, pictures: np.ndarray) -> None:
    path = graph(tmp_path / "net.onnx", [1, 3, 48, 64], TensorProto.FLOAT16)
    engine = load(card(path), "cpu", backend="onnxruntime")
    np.testing.assert_allclose(engine(pictures)[0], expected(pictures), rtol=2e-3)
    engine.close()


def test_a_fixed_batch_is_refused(tmp_path: Path, pictures: np.ndarray) -> None:
    path = graph(tmp_path / "net.onnx", [4, 3, 48, 64])
    with pytest.raises(EngineError, match="batches of 4"):
        load(card(path), "cpu")(pictures)


def test_torch_says_that_it_does_not_run_onnx(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="torch does not run ONNX"):
        load(card(graph(tmp_path / "net.onnx", [1, 3, 48, 64])), "cpu", backend="torch")


def test_what_is_no_onnx_file(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("this is text")
    with pytest.raises(ModelError, match=r"text\.onnx.*not a readable ONNX"):
        load(card(tmp_path / "text.onnx"), "cpu")


def test_opencv_refuses_a_suppression_that_would_end_the_process(tmp_path: Path) -> None:
    path = graph(tmp_path / "net.onnx", [1, 3, 48, 64])
    model = onnx.load(path)
    names = ["boxes", "scores"]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.zeros(shape, np.float32), name)
        for name, shape in zip(names, [(1, 2, 4), (1, 1, 2)], strict=True)
    )
    model.graph.node.append(helper.make_node("NonMaxSuppression", names, ["kept"]))
    model.graph.output.append(helper.make_tensor_value_info("kept", TensorProto.INT64, ["n", 3]))
    onnx.save(model, path)
    with pytest.raises(EngineError, match=r"opencv cannot run.*NonMaxSuppression"):
        load(card(path), "cpu", backend="opencv")(np.zeros((1, 48, 64, 3), np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "options"), [
    ("yolov8n", {}), ("yolo11n", {}), ("yolo26n", {}), ("yolo11n", {"nms": True}),
])
def test_yolo_as_ultralytics_exports_it(
    tmp_path: Path, photos: dict[str, Path], arch: str, options: dict[str, bool]
) -> None:
    import torch
    import ultralytics

    torch.manual_seed(0)
    yolo = ultralytics.YOLO(f"{arch}.yaml")
    yolo.model.pt_path = str(tmp_path / f"{arch}.pt")                  # where the export goes
    path = Path(yolo.export(format="onnx", imgsz=(96, 128), simplify=False, opset=17, **options))
    picture = cv2.resize(cv2.imread(str(photos["bus"])), (128, 96))
    rgb = picture[None, ..., ::-1].astype(np.float32).transpose(0, 3, 1, 2) / 255
    import onnxruntime

    session = onnxruntime.InferenceSession(path)                      # the file as it is, fed as it wants
    (wanted,) = session.run(None, {"images": rgb})
    for backend in ("openvino", "onnxruntime"):
        engine = load(card(path), "cpu", "fp32", backend)
        np.testing.assert_allclose(engine(picture[None])[0], wanted, atol=1e-2)
        engine.close()
    path.unlink()
