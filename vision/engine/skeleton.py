"""Graphs without weights: what torch would export of a network that ships, made once and shipped too.

`weights/NAME.graph` is the ONNX graph of the card NAME, without the weights that lie beside it, deflated: some
20 kB. Filled with the weights it runs in every back end but torch's own, so that neither torch nor an
export is waited for. `python tools/make_graphs.py` makes them.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision.card import Card

if TYPE_CHECKING:
    import onnx

_PREFIX = "net."                                        # of the network's own names inside `Deploy`
_FOR = "vision.for"


def digest_of(card: Card) -> str:
    """What of a card its graph depends on beside the weights' values."""
    facts = (card.net, sorted(card.config.items()), card.input.mean, card.input.std)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def strip(graph: onnx.ModelProto, weights: set[str], card: Card) -> bytes:
    """The graph without the `weights`, by their names in the weights' file."""
    import onnx

    names = {_PREFIX + name for name in weights}
    left = [tensor for tensor in graph.graph.initializer if tensor.name not in names]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(left)
    onnx.helper.set_model_props(graph, {_FOR: digest_of(card)})
    return zlib.compress(graph.SerializeToString(), 9)


def find(card: Card, weights: Path) -> bytes | None:
    """The graph beside a card's weights, without them; None where there is none, or one of another card."""
    path = weights.with_name(f"{card.name}.graph")
    if not path.is_file():
        return None
    import onnx

    content = zlib.decompress(path.read_bytes())
    made_for = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    return content if made_for.get(_FOR) == digest_of(card) else None


def size(content: bytes) -> tuple[int, ...]:
    """The picture that the graph takes, (H,W,3); 0 for a side that may have any size."""
    import onnx

    (batch,) = onnx.load_from_string(content).graph.input
    return tuple(d.dim_value for d in batch.type.tensor_type.shape.dim)[1:]


def fill(content: bytes, weights: Path) -> bytes:
    """The whole graph as ONNX, its weights in float32."""
    import onnx
    from safetensors.numpy import load_file

    model = onnx.load_from_string(content)
    used = {value for node in model.graph.node for value in node.input}
    made = {value for node in model.graph.node for value in node.output}     # a weight equal to another is its Identity
    for name, values in load_file(weights).items():
        if _PREFIX + name in used - made:
            whole = values.astype(np.float32) if np.issubdtype(values.dtype, np.floating) else values
            model.graph.initializer.append(onnx.numpy_helper.from_array(whole, _PREFIX + name))
    return bytes(model.SerializeToString())
