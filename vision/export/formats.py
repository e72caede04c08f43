"""The formats by name: what each can hold, and how a program becomes a file of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from vision.card import Card
from vision.engine.base import CannotRun
from vision.engine.program import Program, Shape
from vision.errors import EngineError, UsageError
from vision.inside import KEY

# of a program for pictures of a size (None: any), so many at a time (ANY: any number), with its card, to a file
Writer = Callable[[Program, Shape | None, int, Card, Path], None]
ANY = 0
_IN_GRAPH = ("channels", "layout", "outputs", "finish", "constants")     # what an adapted graph does by itself


@dataclass(frozen=True)
class Form:
    """A format. suffix: of its files. forms: of the cards that it can hold. package: that writes it, as it is
    imported, and as it is installed. write: None where this version does not write it, `instead` says what to do."""

    suffix: str
    forms: tuple[str, ...]
    package: tuple[str, str]
    write: Writer | None
    instead: str = ""


def card_for(program: Program, target: Path, shape: Shape | None, batch: int = ANY) -> Card:
    """The card inside a file that is made of a program, whose graph takes pictures of `shape`, or of any size, `batch`
    at a time."""
    card = program.card
    kept = {} if card.form == "network" else {k: v for k, v in card.config.items() if k not in _IN_GRAPH}
    kept |= {key: card.config[key] for key in ("faces", "decoder") if key in card.config}
    size = card.input if shape is None else replace(card.input, size_wh=(shape[-2], shape[-3]), fixed=True)
    figures = {key: found for key, found in card.figures.items() if program.compressed or key != "int8"}
    kept |= {"precision": "int8"} if program.compressed else {}
    kept |= {"batch": batch} if batch > 1 else {}
    return replace(
        card, net="", config=kept, file=target.name, sha256="", url=None, int8=None, input=size, figures=figures,
    )


def _onnx(program: Program, shape: Shape | None, batch: int, card: Card, target: Path) -> None:
    import onnx

    model = onnx.load_from_string(program.onnx(shape, batch != 1))
    _say_batch(model, batch)
    told = {entry.key: entry.value for entry in model.metadata_props}
    told |= {KEY: replace(card, form="onnx").to_json(), "input": "uint8 BGR, (B,H,W,3) or (B,T,H,W,3)",
             "names": json.dumps(card.classes), "task": card.task, "licence": card.licence}
    onnx.helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString())


def _say_batch(model: Any, batch: int) -> None:
    """Let a graph for batches say how many pictures it takes and answers for."""
    if batch == 1:
        return
    graph = model.graph
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) and (value in graph.input or dims[0].dim_value == 1 or dims[0].dim_param):
            dims[0].Clear()
            if batch == ANY:
                dims[0].dim_param = "B"
            else:
                dims[0].dim_value = batch


def _openvino(program: Program, shape: Shape | None, batch: int, card: Card, target: Path) -> None:
    import openvino as ov

    from vision.engine.openvino_backend import CORE, read_graph

    own = program.alone == "openvino"
    model = read_graph(program.weights) if own else CORE.read_model(program.onnx(shape, batch != 1))
    if (own and shape is not None) or batch > 1:
        sides = (-1, -1, 3) if shape is None else shape
        model.reshape({0: ov.PartialShape([-1 if batch == ANY else batch, *sides])})
    model.set_rt_info(replace(card, form="openvino").to_json(), KEY.split("."))
    ov.save_model(model, target, compress_to_fp16=False)


def _torchscript(program: Program, shape: Shape | None, batch: int, card: Card, target: Path) -> None:
    import warnings

    import torch

    module = program.module()
    if not getattr(module.net, "traceable", True):
        raise CannotRun("its steps depend on the picture")
    if batch > 1:
        raise CannotRun("its graph takes any number of pictures or one: --batch any")
    example = torch.zeros((1 if batch == 1 else 2, *(shape or program.shape)), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")                        # that torch.export is the younger one
        jit: Any = torch.jit                                   # which has no types
        traced = jit.trace(module, (example,), check_trace=False)
        jit.save(traced, str(target), _extra_files={KEY: replace(card, form="torchscript").to_json()})


def _tflite(program: Program, shape: Shape | None, batch: int, card: Card, target: Path) -> None:
    import warnings
    import zipfile

    import torch

    module = program.module()
    if not getattr(module.net, "traceable", True):
        raise CannotRun("its steps depend on the picture")
    if batch != 1 or shape is None:
        raise CannotRun("its graph takes one picture of one size: --batch 1, and a --size")
    import litert_torch

    with warnings.catch_warnings(), redirect_stdout(StringIO()):      # which the converter tells its steps
        warnings.simplefilter("ignore")
        try:
            graph: Any = litert_torch.convert(module, (torch.zeros((1, *shape), dtype=torch.uint8),))
        except Exception as error:                             # torch.export's, or the converter's
            raise CannotRun(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
        graph.export(str(target))
    with zipfile.ZipFile(target, "a") as archive:              # behind the graph, where the format keeps files
        archive.writestr(KEY, replace(card, form="tflite").to_json())


_NETWORKS = ("network",)
FORMATS: dict[str, Form] = {
    "onnx": Form(".onnx", ("network", "onnx"), ("onnx", "onnx"), _onnx),
    "openvino": Form(".xml", ("network", "onnx", "openvino"), ("openvino", "openvino"), _openvino),
    "torchscript": Form(".torchscript", _NETWORKS, ("torch", "torch"), _torchscript),
    "tensorrt": Form(".engine", ("network", "onnx"), ("tensorrt", "tensorrt"), None,
                     "write onnx: onnxruntime-gpu compiles that file with TensorRT where it is opened (--backend "
                     "onnxruntime --device cuda), and `trtexec --onnx` makes an engine of it"),
    "tflite": Form(".tflite", _NETWORKS, ("litert_torch", "litert-torch"), _tflite,
                   "write onnx, and `onnx2tf -i FILE` makes a TFLite file of it"),
}


def suffix_of(name: str) -> str:
    """The suffix of a format's files. Raises UsageError for an unknown format."""
    if name not in FORMATS:
        raise UsageError(f"no format {name!r}. There are: {', '.join(FORMATS)}")
    return FORMATS[name].suffix


def writer(name: str, card: Card) -> Writer:
    """What writes a card's network in a format.

    Raises EngineError where its package is not installed or this version does not write it, CannotRun where the
    format does not hold such a card, with those that do.
    """
    suffix_of(name)
    form = FORMATS[name]
    if card.form not in form.forms:
        raise refusal(name, card, f"a card of form {card.form!r} has no graph for it")
    module, package = form.package
    if find_spec(module) is None:
        raise EngineError(f"{name} needs the package {package!r}: pip install {package}; or {form.instead}")
    if form.write is None:
        raise EngineError(f"this vision does not write {name}: {form.instead}")
    return form.write


def refusal(name: str, card: Card, why: str) -> CannotRun:
    """That a format cannot hold a card's network, with those that could."""
    others = [other for other, form in FORMATS.items() if card.form in form.forms and form.write and other != name]
    can = f"Those that may: {', '.join(others)}" if others else "No format here can"
    return CannotRun(f"{name} cannot hold {card.name!r}: {why}. {can}.")
