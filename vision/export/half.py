"""Weights as float16: half the bytes. The graph computes as before, in whatever precision it is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from vision.card import Card
from vision.engine import cache
from vision.engine.base import CannotRun
from vision.engine.program import program_of, state_dict
from vision.errors import UsageError
from vision.inside import KEY

_SMALL = 16                              # numbers; fewer are not worth an operator of their own
_RANGE = float(np.finfo(np.float16).max)
SUFFIXES = {"network": ".safetensors", "onnx": ".onnx"}


def halve(card: Card, target: Path) -> Card:
    """Write a card's network with its weights in float16, and its card, which comes back.

    A network of torch becomes a `.safetensors` file, an ONNX file another one. Raises UsageError for another suffix,
    CannotRun for a file of another form, and for weights that float16 does not hold.
    """
    if card.form not in SUFFIXES:
        raise CannotRun(f"{card.name!r} is a file of form {card.form!r}, whose weights stay as they are; networks of "
                        "torch and ONNX files are halved.")
    if target.suffix != SUFFIXES[card.form]:
        raise UsageError(f"{card.name!r} in half precision is a {SUFFIXES[card.form]} file; got {target.name!r}")
    made = replace(card, name=target.stem, file=str(target.absolute()), sha256="", url=None, int8=None,
                   figures={}, measured_on="", source=f"{card.name} in half precision")
    content = _tensors(card, made) if card.form == "network" else _graph(card, made)
    with cache.whole(target) as part:
        part.write_bytes(content)
    return made


def _tensors(card: Card, made: Card) -> bytes:
    from safetensors.numpy import save

    tensors = state_dict(program_of(card).weights, card.without)          # a .pth has them, too
    halves = {name: np.ascontiguousarray(_halved(values.numpy(), name)) for name, values in tensors.items()}
    return bytes(save(halves, {"card": made.to_json()}))


def _graph(card: Card, made: Card) -> bytes:
    """The ONNX file, each large constant in float16 with a Cast behind it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(program_of(card).weights)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(_halved(values, name), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], f"{name}_whole", to=TensorProto.FLOAT))
    inputs = {entry.name for entry in model.graph.input}
    nodes = [*casts, *model.graph.node]
    for cast in casts:                                   # an old graph lists its weights among its inputs
        if cast.output[0] in inputs:
            model.graph.input.remove(next(i for i in model.graph.input if i.name == cast.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    told = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**told, KEY: made.to_json(), "names": json.dumps(made.classes)})
    return bytes(model.SerializeToString())


def _halved(values: np.ndarray, name: str) -> np.ndarray:
    if not np.issubdtype(values.dtype, np.floating):
        return values
    if float(np.abs(values).max(initial=0)) > _RANGE:
        raise CannotRun(f"float16 does not hold the weights {name!r}: they are larger than {_RANGE:g}")
    return values.astype(np.float16)
