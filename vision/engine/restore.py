"""Layers of a graph in int8 whose inputs go back to float: those first that bring outputs nearest to the exact ones.

What NNCF's accuracy control does, with the metric of the written file to decide: quantising a few layers may cost more
than all the others together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import openvino as ov

from vision.engine.openvino_backend import CORE

_KINDS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData",
                    "MatMul"})
_LOOKS = 8                               # pictures on which layers are compared


def rounded(model: ov.Model) -> list[ov.Node]:
    """The layers whose input is rounded to int8, in their order."""
    return [node for node in model.get_ordered_ops() if node.get_type_name() in _KINDS
            and _source(node).get_type_name() == "FakeQuantize"]


def restored(model: ov.Model, exact: bytes, batches: Sequence[np.ndarray]) -> Iterator[int]:
    """Let the inputs of layers go back to float, in place: of 1, 2, 4, ... of them, and at last of all. After each step
    the model is to be looked at; what comes is how many layers there are in float.

    exact: the same graph as ONNX, in float. batches: pictures as it gets them, (1,H,W,3) uint8 BGR.
    """
    some = [batches[i] for i in np.linspace(0, len(batches) - 1, min(len(batches), _LOOKS)).round().astype(int)]
    wanted = _outputs(CORE.read_model(exact), some)
    layers = rounded(model)
    far = {}
    for i, layer in enumerate(layers):
        fake = _source(layer)
        _bypass(layer)
        far[i] = _distance(_outputs(model, some), wanted)
        layer.input(0).replace_source_output(fake.output(0))
    order, done, step = sorted(far, key=far.__getitem__), 0, 1
    while done < len(order):
        for i in order[done : step]:
            _bypass(layers[i])
        done, step = min(step, len(order)), 2 * step
        yield done


def _source(layer: ov.Node) -> ov.Node:
    return layer.input(0).get_source_output().get_node()


def _bypass(layer: ov.Node) -> None:
    layer.input(0).replace_source_output(_source(layer).input(0).get_source_output())


def _outputs(model: ov.Model, batches: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    compiled = CORE.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [[np.array(value, np.float64) for value in compiled(batch).values()] for batch in batches]


def _distance(found: Sequence[Sequence[np.ndarray]], wanted: Sequence[Sequence[np.ndarray]]) -> float:
    """Of outputs: squared differences over squares, summed over outputs and pictures."""
    return sum(float(((one - other) ** 2).sum() / max(1e-12, (other**2).sum()))
               for some, others in zip(found, wanted, strict=True) for one, other in zip(some, others, strict=True)
               if one.shape == other.shape)
