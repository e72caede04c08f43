"""Post-training quantisation to int8, by OpenVINO's NNCF (extra `compress`).

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference": 8-bit weights, a scale a channel, and 8-bit activations, whose ranges real pictures tell.
What lies before the first layer and behind the last ones (normalisation, the decoding of boxes) stays
in float. The result is OpenVINO's own graph: OpenVINO 2026.4 ran the same ranges in ONNX's form
(QuantizeLinear) less exactly than onnxruntime did.
"""

from __future__ import annotations

import logging
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
from safetensors.numpy import save

from vision.card import Card, Input
from vision.engine import cache
from vision.engine.openvino_backend import CORE
from vision.engine.program import Program, Shape, program_of
from vision.engine.restore import restored, rounded
from vision.errors import DataError, MissingExtra

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_READ = ("faces", "decoder")          # of a card's configuration: how outputs are read, not what the graph is
_MULTIPLE = 32                        # what a network that takes any size wants its sides to be a multiple of
_log = logging.getLogger("vision.engine")


def compress(
    card: Card, batches: Sequence[np.ndarray], target: Path, source: str, good: Callable[[Path], bool] | None = None
) -> Card:
    """Quantise the card's network and write it, with the card that comes back, to `target`: a
    `.safetensors` file that OpenVINO alone runs.

    batches: pictures as the network gets them, (1,H,W,3) uint8 BGR; a few hundred that look like those of its use.
    source: what they are, for the card. good: says of the written file whether it is good enough; while it is not, more
    and more layers go back to float (`vision.engine.restore`). The result takes pictures of any size where the network
    does and its decoding can be exported so, else only those of the commonest size.

    Raises MissingExtra without NNCF, DataError without pictures or where they are of a size that it does not take,
    CannotRun for a network that is no ONNX.
    """
    try:
        import nncf
    except ImportError as error:
        raise MissingExtra("nncf", "compress", "quantisation") from error
    ready = prepared(card, batches, target)
    model = CORE.read_model(ready.content)
    kept = float_nodes(ready.graph) & {node.get_friendly_name() for node in model.get_ops()}
    logging.getLogger("nncf").setLevel(logging.ERROR)
    quantised = nncf.quantize(
        model,
        nncf.Dataset(ready.batches),
        preset=nncf.QuantizationPreset.MIXED,          # activations asymmetric: a hard swish has both signs
        subset_size=len(ready.batches),
        ignored_scope=nncf.IgnoredScope(names=sorted(kept), validate=False),
    )
    small = card_of(card, ready, target, source)
    _save(quantised, target, small)
    if good is None or good(target):
        return small
    total = len(rounded(quantised))
    for count in restored(quantised, ready.content, ready.batches):
        _log.warning("%s costs too much: %d of %d layers back in float", target.name, count, total)
        small = replace(small, source=f"{card.name} in int8 but for {count} of {total} layers, ranges from "
                                      f"{len(ready.batches)} pictures of {source}")
        _save(quantised, target, small)
        if good(target):
            break
    return small


@dataclass(frozen=True)
class Ready:
    """What is quantised. content: the graph as ONNX, in float. input: what it takes. batches: the pictures of its
    size."""

    content: bytes
    input: Input
    batches: list[np.ndarray]

    @property
    def graph(self) -> onnx.GraphProto:
        """Its nodes."""
        return onnx.load_from_string(self.content).graph


def prepared(card: Card, batches: Sequence[np.ndarray], target: Path) -> Ready:
    """A card's graph and the pictures for it, of any size where that can be. Raises DataError without pictures, and
    where they are of a size that it does not take."""
    if not batches:
        raise DataError("quantisation needs pictures to see the ranges of activations: there are none.")
    program = program_of(card)
    shape, taken = _commonest(batches, program), card.input
    content = _any_size(program, shape)
    if content is None:
        _log.warning("%s takes pictures of %dx%d alone", target.name, shape[1], shape[0])
        content = program.onnx(shape)
        taken = replace(taken, size_wh=(shape[1], shape[0]), fixed=True)
        batches = [batch for batch in batches if batch.shape[1:] == shape]
    return Ready(content, taken, list(batches))


def card_of(card: Card, ready: Ready, target: Path, source: str) -> Card:
    """The card of what a card became in int8, a graph of OpenVINO."""
    return replace(
        card, name=target.stem, form="openvino", net="", file=target.name, sha256="", url=None, int8=None,
        config={key: value for key, value in card.config.items() if key in _READ}, figures={}, measured_on="",
        input=ready.input, source=f"{card.name} in int8, ranges from {len(ready.batches)} pictures of {source}",
    )


def _commonest(batches: Sequence[np.ndarray], program: Program) -> Shape:
    """The size of most of the pictures. Raises DataError where the network does not take it."""
    shape: Shape = Counter(batch.shape[1:] for batch in batches).most_common(1)[0][0]
    only = program.input_wh
    if len(shape) != len(program.shape) or (only is not None and only != shape[-2:-4:-1]):
        raise DataError(
            f"{program.card.name!r} takes {'x'.join(map(str, program.shape[:-1][::-1]))} pixels; most of the pictures "
            f"to quantise it with have {'x'.join(map(str, shape[:-1][::-1]))}. Bring them to its size (vision.view)."
        )
    return shape


def _save(model: ov.Model, target: Path, card: Card) -> None:
    """OpenVINO's two files as two tensors of bytes: `weights`, and `graph`, its XML, deflated."""
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "graph.xml"
        ov.save_model(model, xml, compress_to_fp16=False)
        parts = {"graph": zlib.compress(xml.read_bytes(), 9), "weights": xml.with_suffix(".bin").read_bytes()}
    with cache.whole(target) as part:
        tensors = {name: np.frombuffer(data, np.uint8) for name, data in parts.items()}
        part.write_bytes(save(tensors, {"card": card.to_json()}))


def float_nodes(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes with no layer (convolution, matrix product) before them, or none behind them; and of those
    around a comparison, whose sides must be rounded alike: SegNet asks which corner of a window the maximum is.
    YOLO's `dfl`, the mean of a distribution, is a convolution by form alone."""
    makers = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)
    layers = [n for n in graph.node if n.op_type in _LAYERS and "/dfl/" not in n.name]

    def reached(following: Callable[[onnx.NodeProto], Iterable[onnx.NodeProto]]) -> set[str]:
        names, left = set(), list(layers)
        while left:
            for node in following(left.pop()):
                if node.name not in names:
                    names.add(node.name)
                    left.append(node)
        return names

    behind = reached(lambda node: (r for value in node.output for r in readers.get(value, ())))
    before = reached(lambda node: (makers[value] for value in node.input if value in makers))
    compared = [node for node in graph.node if node.op_type == "Equal"]
    sides = [makers[value] for node in compared for value in node.input if value in makers]
    exact = {node.name for node in (*compared, *sides) if node not in layers}
    inner = (behind & before) | {node.name for node in layers}
    return {node.name for node in graph.node} - inner | exact


def _any_size(program: Program, shape: Shape) -> bytes | None:
    """The graph as ONNX with a height and width of any size; None where that cannot be. Exporting a network
    follows one picture, and may take a number for a constant: so another size is tried."""
    if program.input_wh is not None or program.card.input.resize not in ("letterbox", "corner"):
        return None                                    # what is stretched is always of one size
    content = program.onnx(None)
    if program.reference != "torch":
        return content
    import torch

    other = (shape[0] + _MULTIPLE, shape[1] + 3 * _MULTIPLE)
    picture = np.random.default_rng(0).integers(0, 256, (1, *other, 3), np.uint8)
    with torch.inference_mode():
        expected = [output.numpy() for output in program.module()(torch.from_numpy(picture))]
    with suppress(RuntimeError):                       # what a graph made for another size trips over
        graph = CORE.compile_model(CORE.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = list(graph(picture).values())
        if all(f.shape == e.shape and np.allclose(f, e, atol=0.01)
               for f, e in zip(found, expected, strict=True)):
            return content
    return None
