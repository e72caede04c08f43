"""The card beside somebody's ONNX file: `mine.toml` says what `mine.onnx` does not.

Its keys are those of `KEYS`; what it leaves out is read off the graph, or is as usual for the task.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vision.card import Boxes, Card, Input, checked_card
from vision.errors import ModelError, WeightsError
from vision.inside import card_inside
from vision.published import onnx_detector, onnx_outputs, picture_wh

KEYS = {
    "task": "detect, instances, pose, classify or segment",
    "classes": "their names in the order of the outputs, or the name of a list: coco, voc, imagenet, ...",
    "size": "of the pictures that it takes: width and height in pixels",
    "resize": "how a frame gets to that size: letterbox, corner (letterbox at the top left), stretch or crop",
    "crop": "with crop: the share of the shorter side that stays, 0..1",
    "mean": "of RGB in 0..1, taken away", "std": "of RGB in 0..1, divided by",
    "channels": "RGB or BGR", "layout": "NCHW or NHWC, where the graph does not tell",
    "decoder": "how boxes are read: see `vision detect --help`",
    "finish": "what the graph does not do: softmax (classify), argmax (segment), or nothing",
    "min_score": "the default threshold, 0..1", "max_iou": "of boxes that are kept both, 0..1",
    "licence": "of the weights",
}
_FINDS = ("detect", "instances", "pose")                 # boxes, with masks, with points
TASKS = (*_FINDS, "classify", "segment")
_MOST = 1 << 20                                          # bytes of such a file


def card_beside(path: Path, decoder: str | None = None) -> Card:
    """The card of an ONNX file: what the TOML file beside it says, if there is one, over what the graph says; the one
    inside a file that `vision export` wrote.

    decoder: how the outputs of a detector are read; as the file says or the graph looks unless given. Raises
    ModelError for a graph that is not recognised, WeightsError for a file that cannot be read.
    """
    beside = path.with_suffix(".toml")
    if decoder is None and not beside.is_file() and (carried := card_inside(path)) is not None:
        return carried
    said = _read(beside) if beside.is_file() else {}
    task = str(said.get("task") or ("detect" if decoder else guessed(path)))
    card = onnx_detector(path, decoder or said.get("decoder")) if task in _FINDS else _of_pictures(path, task)
    try:
        return checked_card(_with(card, said))
    except (ValueError, TypeError, LookupError, AttributeError, ModelError) as error:
        raise WeightsError(f"{str(beside)!r} is no card of a model: {error}") from error


def with_decoder(path: str | Path, decoder: str) -> Card:
    """The card of a detector's ONNX file whose outputs are read as `decoder` says, a family of `onnx_detector`."""
    if Path(path).suffix != ".onnx" or not Path(path).is_file():
        return onnx_detector(path, decoder)              # which says what is wrong
    return card_beside(Path(path), decoder)


def guessed(path: Path) -> str:
    """The task that the outputs of a graph look like: `classify` for one (B,C), `segment` for one (B,C,h,w) or
    (B,h,w) of whole numbers, else `detect`."""
    _, outputs, _ = onnx_outputs(path)
    if len(outputs) == 1:
        shape = outputs[0].shape
        if len(shape) == 2 and shape[1] != 6:
            return "classify"
        if len(shape) == 4 or (len(shape) == 3 and outputs[0].whole):
            return "segment"
    return "detect"


def written(path: Path, task: str | None = None, decoder: str | None = None) -> str:
    """The TOML text for an ONNX file, each key with what it means. Raises ModelError where the outputs do not
    tell how boxes are read and no decoder is given."""
    task = task or guessed(path)
    if task not in TASKS:
        raise ModelError(f"a card is for one of {', '.join(TASKS)}; got {task!r}")
    card = onnx_detector(path, decoder) if task in _FINDS else _of_pictures(path, task)
    values: dict[str, Any] = {
        "task": card.task, "classes": card.names, "size": card.input.size_wh, "resize": card.input.resize,
        "mean": card.input.mean, "std": card.input.std, "channels": card.config.get("channels", "RGB"),
        "min_score": card.min_score, "licence": card.licence,
    }
    if card.task in _FINDS:
        values |= {"decoder": card.boxes.layout, "max_iou": card.boxes.max_iou}
    else:
        values |= {"finish": card.config.get("finish", "nothing")}
    if card.input.resize == "crop":
        values["crop"] = card.input.crop
    lines = [f"# Beside {path.name}: how `--model {path.name}` reads it. Mend what is wrong."]
    for key, meaning in KEYS.items():
        if key in values:
            lines += [f"# {meaning}", f"{key} = {_toml(values[key])}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)         # a basic string, a number


def _read(path: Path) -> dict[str, Any]:
    """The values of a file. Raises WeightsError for one that is no TOML or has unknown keys."""
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"it has more than {_MOST} bytes")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{str(path)!r} cannot be read ({error}).") from error
    for key in values.keys() - KEYS.keys():
        near = difflib.get_close_matches(key, KEYS, n=2) or list(KEYS)
        raise WeightsError(f"{str(path)!r} has an unknown key {key!r}. Nearest: {', '.join(near)}")
    return values


def _with(card: Card, said: Mapping[str, Any]) -> Card:
    """The card with what the file says. Raises ValueError, or what comes of it, for other values."""
    names = said.get("classes", card.names)
    config = {**card.config, **{key: said[key] for key in ("channels", "layout", "finish") if key in said}}
    if config.get("channels", "RGB") not in ("RGB", "BGR") or config.get("layout", "NCHW") not in ("NCHW", "NHWC"):
        raise ValueError("channels are RGB or BGR, layout is NCHW or NHWC")
    if config.get("finish", "nothing") not in ("nothing", "softmax", "argmax"):
        raise ValueError(f"finish is softmax, argmax or nothing; got {config['finish']!r}")
    fields = {"size": "size_wh", "resize": "resize", "crop": "crop", "mean": "mean", "std": "std"}
    changed: dict[str, Any] = {
        field: tuple(said[key]) if isinstance(said[key], list) else said[key]
        for key, field in fields.items() if key in said
    }
    wanted = replace(card.input, **changed)
    return replace(
        card, input=wanted, names=tuple(names) if isinstance(names, list) else names, config=config,
        min_score=said.get("min_score", card.min_score), licence=said.get("licence", card.licence),
        boxes=replace(card.boxes, max_iou=said.get("max_iou", card.boxes.max_iou)),
    )


def _of_pictures(path: Path, task: str) -> Card:
    """The card of a classifier or a segmenter, as its graph says. Raises ModelError for another task."""
    if task not in TASKS:
        raise ModelError(f"{str(path)!r} is for {task!r}; a card beside it is for one of {', '.join(TASKS)}")
    model, outputs, told = onnx_outputs(path)
    if len(outputs) != 1:
        raise ModelError(f"{str(path)!r} has {len(outputs)} outputs; a graph for {task} has one")
    shape = outputs[0].shape
    if len(shape) not in ((2,) if task == "classify" else (3, 4)):
        looks = "(B,C)" if task == "classify" else "(B,C,h,w) or (B,h,w)"
        raise ModelError(f"{str(path)!r} puts out {shape}; a graph for {task} puts out {looks}")
    last = next((node.op_type for node in reversed(model.graph.node) if outputs[0].name in node.output), "")
    count = shape[1] if len(shape) in (2, 4) else 0
    size_wh = picture_wh(model, told)
    done = last == "Softmax" if task == "classify" else len(shape) == 3
    finish = "nothing" if done else "softmax" if task == "classify" else "argmax"
    names: tuple[str, ...] | str = "imagenet" if (task, count) == ("classify", 1000) else tuple(
        f"class {i}" for i in range(count))
    return Card(
        name=path.name, task=task, form="onnx", file=str(path.absolute()), licence="as its publisher states",
        source=str(path), names=names, boxes=Boxes(), config={"finish": finish},
        input=Input(size_wh, "crop" if task == "classify" else "stretch"),
    )
