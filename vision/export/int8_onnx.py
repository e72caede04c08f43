"""int8 for onnxruntime: a graph of ONNX whose layers stand between QuantizeLinear and DequantizeLinear.

The second road, for machines without OpenVINO. It needs nothing but onnxruntime, which computes the ranges, too.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.card import Card
from vision.engine import cache
from vision.engine.base import CannotRun
from vision.engine.compress import Ready, card_of, float_nodes, prepared
from vision.inside import KEY

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "AveragePool", "GlobalAveragePool", "MaxPool",
          "Concat", "Resize", "Relu", "Clip")
_OPSET = 13                            # of ONNX: the first whose DequantizeLinear takes a scale a channel


def compress_onnx(card: Card, batches: Sequence[np.ndarray], target: Path, source: str) -> Card:
    """Quantise the card's network and write it, with the card that comes back, to `target`: an `.onnx` file that
    onnxruntime alone runs. Arguments and errors are those of `vision.engine.compress.compress`. CannotRun, too, for
    a network that onnxruntime cannot run so: nothing is written then."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    ready = prepared(card, batches, target)
    made = replace(card_of(card, ready, target, source), form="onnx")
    made = replace(made, config={**made.config, "precision": "int8"})
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        whole, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        _fold(ready.content, whole, card.name)
        graph = onnx.load(whole)
        names = {node.name for node in graph.graph.node}
        quantize_static(
            whole, small, _Pictures(graph.graph.input[0].name, ready), quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(LAYERS), per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, nodes_to_exclude=sorted(float_nodes(graph.graph) & names),
        )
        model = onnx.load(small)
    onnx.helper.set_model_props(model, {KEY: made.to_json()})
    with cache.whole(target) as part:
        part.write_bytes(model.SerializeToString())
        _opened(part.read_bytes(), card.name)
    return made


@contextmanager
def _without_advice() -> Iterator[None]:
    """onnxruntime advises a preparation that is done here already, through the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _fold(content: bytes, target: Path, name: str) -> None:
    """Write a graph with its constants computed, such as weights that are stored in half precision, in a version of
    ONNX that int8 can be written in. name: of the model."""
    import onnx
    import onnxruntime as ort

    model = onnx.load_from_string(content)
    if any(entry.domain in ("", "ai.onnx") and entry.version < _OPSET for entry in model.opset_import):
        try:
            content = onnx.version_converter.convert_version(model, _OPSET).SerializeToString()
        except Exception as error:                       # whatever the converter knows no newer form of
            raise CannotRun(f"{name!r} is of an ONNX too old for int8 (opset {_OPSET} is the first), and cannot be "
                            f"made newer ({str(error).strip().splitlines()[0]:.200})") from error
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    _opened(content, name, options)


def _opened(content: bytes, name: str, options: Any = None) -> None:
    """Let onnxruntime open a graph. Raises CannotRun where it does not."""
    import onnxruntime as ort

    options = options or ort.SessionOptions()
    options.log_severity_level = 3                       # errors only
    try:
        ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:                           # onnxruntime's errors have no common class
        raise CannotRun(f"onnxruntime does not run {name!r} so ({str(error).strip().splitlines()[0]:.200})") from error


class _Pictures:
    """The pictures as onnxruntime asks for them, one after the other."""

    def __init__(self, name: str, ready: Ready) -> None:
        self._left: Iterator[dict[str, Any]] = ({name: batch} for batch in ready.batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._left

    def __next__(self) -> dict[str, Any]:
        return next(self._left)

    def get_next(self) -> dict[str, Any] | None:
        """One of them, or None."""
        return next(self._left, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        """All are taken anyway."""
