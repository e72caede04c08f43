"""Somebody's ONNX file made to obey the engine's contract: uint8 BGR (B,H,W,3) in.

Exporters hand out graphs of normalised float RGB: YOLO's are (B,3,H,W) in 0..1, those converted
from TFLite (B,H,W,3), some in -1..1. What the file does not say comes from the card: `input.mean` and
`input.std` of RGB in 0..1 ((0, 0, 0) and (1, 1, 1) for 0..1; 0.5 and 0.5 for -1..1), and where the
channels are from the input's shape, or from `config={"layout": "NHWC"}` where that does not tell.
`config={"channels": "BGR"}` is for a network that wants them in that order, `config={"outputs": [...]}`
names the outputs that are kept, in their order, and `config={"finish": "softmax"}` (or "argmax", of (B,C,h,w)) what
is done to the only one. A second input of whole numbers (B,2), which DETRs have for the size of the picture, becomes
a constant: the size of the first. `config={"constants": {"mask": 0.0}}` fills other inputs with a number. A graph that
already takes uint8 (B,H,W,3) is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vision.card import Card
from vision.engine.base import CannotRun
from vision.errors import ModelError


def input_wh(path: Path, card: Card) -> tuple[int, int] | None:
    """The only picture size that the graph takes, or None where it takes any."""
    graph = _load(path, weights=False).graph
    _fill(graph, card)
    sides = _sides(graph, card)
    return None if 0 in sides else (sides[1], sides[0])


def adapt(path: Path, card: Card, shape: Sequence[int | str]) -> onnx.ModelProto:
    """The graph with an input `shape`, uint8 BGR: (batch, h, w, 3), with a name for what may have any size.

    Raises CannotRun for a graph of another batch size, ModelError for one that takes no pictures.
    """
    model = _load(path)
    graph = model.graph
    _fill(graph, card)
    image = _image(graph)
    if len(shape) != len(image.type.tensor_type.shape.dim):
        raise CannotRun(f"{str(path)!r} takes {'clips' if len(shape) == 4 else 'pictures'}, not the others")
    fixed = image.type.tensor_type.shape.dim[0].dim_value
    if fixed not in (0, 1, card.config.get("batch")) or (fixed == 1 and isinstance(shape[0], str)):
        raise CannotRun(f"{str(path)!r} was exported for batches of {fixed}. Export it with a dynamic batch.")
    if image.type.tensor_type.elem_type == TensorProto.UINT8:
        _set_shape(image, shape)
        return model
    _give_size(graph, shape)
    if "outputs" in card.config:
        outputs = {output.name: output for output in graph.output}
        del graph.output[:]
        graph.output.extend(outputs[name] for name in card.config["outputs"])
    planar = _planar(graph, card)
    _finish(graph, card, planar)
    uint8 = helper.make_tensor_value_info("vision_bgr", TensorProto.UINT8, shape)
    channels = (1, 3, 1, 1) if planar else (1, 1, 1, 3)
    bgr = card.config.get("channels") == "BGR"
    order = -1 if bgr else 1
    mean, std = (
        np.array(v[::order], np.float32).reshape(channels) for v in (card.input.mean, card.input.std)
    )
    constants = {
        "vision_byte": np.array(1 / 255, np.float32),
        **({} if bgr else {"vision_rgb": np.array([2, 1, 0])}),
        "vision_scale": 1 / std,
        "vision_shift": -mean / std,
    }
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in constants.items())
    # multiplied while they lie as rows of pixels, bytes reach OpenVINO's first convolution without a copy:
    # 2 % less of a YOLO11n's time than transposed first
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
        ("Mul", ["vision_byte"], {}),
        *([("Transpose", [], {"perm": [0, 3, 1, 2]})] if planar else []),
        *([] if bgr else [("Gather", ["vision_rgb"], {"axis": 1 if planar else 3})]),
        ("Mul", ["vision_scale"], {}),
        ("Add", ["vision_shift"], {}),
        ("Cast", [], {"to": image.type.tensor_type.elem_type}),
    ]
    nodes, value = [], uint8.name
    for i, (kind, others, attributes) in enumerate(steps):
        name = image.name if i == len(steps) - 1 else f"vision_{i}"
        nodes.append(helper.make_node(kind, [value, *others], [name], **attributes))
        value = name
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input.remove(image)
    graph.input.append(uint8)
    return model


def _finish(graph: onnx.GraphProto, card: Card, planar: bool) -> None:
    """Add to the graph what its card says that it does not do."""
    output, how = graph.output[0], card.config.get("finish")
    kind = output.type.tensor_type
    if how == "softmax":
        graph.node.append(helper.make_node("Softmax", [output.name], ["vision_finished"], axis=-1))
        kept, elements = list(kind.shape.dim), kind.elem_type
    elif how == "argmax":
        axis = 1 if planar else len(kind.shape.dim) - 1
        if (count := kind.shape.dim[axis].dim_value) > 256:
            raise ModelError(f"{card.name!r} tells {count} classes apart; a label is a byte, of at most 256.")
        graph.node.append(helper.make_node("ArgMax", [output.name], ["vision_best"], axis=axis, keepdims=0))
        graph.node.append(helper.make_node("Cast", ["vision_best"], ["vision_finished"], to=TensorProto.UINT8))
        kept, elements = [d for i, d in enumerate(kind.shape.dim) if i != axis], TensorProto.UINT8
    else:
        return
    sides = [d.dim_param or d.dim_value or None for d in kept]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("vision_finished", elements, sides))


def files_beside(path: Path) -> list[Path]:
    """The files beside an ONNX file that its weights lie in. Raises ModelError for a file that is none."""
    names = {entry.value for weight in _load(path, weights=False).graph.initializer for entry in weight.external_data
             if entry.key == "location"}
    return [path.parent / name for name in sorted(names)]


def _load(path: Path, weights: bool = True) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=weights)
    except Exception as error:
        raise ModelError(f"{str(path)!r} is not a readable ONNX file ({type(error).__name__}).") from error


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Those that are no weights."""
    weights = {i.name for i in graph.initializer}
    return [i for i in graph.input if i.name not in weights]


def _takes_size(value: onnx.ValueInfoProto) -> bool:
    """Whether an input is of whole numbers (B,2)."""
    kind = value.type.tensor_type
    return kind.elem_type in (TensorProto.INT64, TensorProto.INT32) and [
        d.dim_value for d in kind.shape.dim
    ][1:] == [2]


def _give_size(graph: onnx.GraphProto, shape: Sequence[int | str]) -> None:
    """Turn an input for the picture's size into a constant: width and height of `shape` (B,h,w,3)."""
    for value in filter(_takes_size, _inputs(graph)):
        if isinstance(shape[1], str) or isinstance(shape[2], str):
            raise CannotRun("the graph asks for the picture's size, so it is made for one size at a time")
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        graph.initializer.append(numpy_helper.from_array(np.array([[shape[2], shape[1]]], kind), value.name))
        graph.input.remove(value)


def _fill(graph: onnx.GraphProto, card: Card) -> None:
    """Turn the inputs that the card gives numbers for into constants."""
    numbers = card.config.get("constants", {})
    for value in [i for i in _inputs(graph) if i.name in numbers]:
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        sides = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        graph.initializer.append(numpy_helper.from_array(np.full(sides, numbers[value.name], kind), value.name))
        graph.input.remove(value)


def _image(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    """The input that takes pictures: the only one, beside weights and the picture's size."""
    inputs = [i for i in _inputs(graph) if not _takes_size(i)]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) not in ((4, 5) if _bytes(inputs[0]) else (4,)):
        names = ", ".join(i.name for i in inputs)
        raise ModelError(f"the graph must have one input of 4 axes, the pictures; its inputs: {names}.")
    return inputs[0]


def _bytes(value: onnx.ValueInfoProto) -> bool:
    """Whether an input takes bytes: pictures, or clips, as they are."""
    return bool(value.type.tensor_type.elem_type == TensorProto.UINT8)


def _planar(graph: onnx.GraphProto, card: Card) -> bool:
    """True for (B,3,H,W), False for (B,H,W,3)."""
    if "layout" in card.config:
        return bool(card.config["layout"] == "NCHW")
    sides = [d.dim_value for d in _image(graph).type.tensor_type.shape.dim]
    if 3 not in (sides[1], sides[3]):
        raise ModelError(
            f"the input {sides} (0: any size) has no axis of 3 channels; a card's "
            "config={'layout': 'NHWC'} says where they are."
        )
    return bool(sides[1] == 3)


def _sides(graph: onnx.GraphProto, card: Card) -> tuple[int, int]:
    """Height and width of the input, 0 where it takes any."""
    image = _image(graph)
    dims = [d.dim_value for d in image.type.tensor_type.shape.dim]
    if _bytes(image):
        return dims[-3], dims[-2]
    return (dims[2], dims[3]) if _planar(graph, card) else (dims[1], dims[2])


def _set_shape(value: onnx.ValueInfoProto, shape: Sequence[int | str]) -> None:
    value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape))


def begins_with_arithmetic(path: Path, side: int) -> bool | None:
    """Whether a graph of pictures of `side` x `side` begins by subtracting and multiplying, so that it takes bytes as
    they are; None for a graph of other pictures. Raises ModelError for a file that is no graph."""
    graph = _load(path, weights=False).graph
    sides = [d.dim_value for d in _image(graph).type.tensor_type.shape.dim]
    if sorted(sides[1:]) != [3, side, side]:
        return None
    kinds = [node.op_type for node in graph.node if node.op_type != "Constant"][:4]
    return any(kind in ("Sub", "Add") for kind in kinds) and any(kind in ("Mul", "Div") for kind in kinds)
