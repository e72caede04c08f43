"""Cards for what is not in the catalogue: torchvision's and timm's classifiers, ONNX files, YOLO.

`vision.zoo.find` comes here for `torchvision:NAME`, `timm:NAME` (each also with `@FILE`, weights of
the user's own), a path to a detector's `.onnx` file, and a YOLO `.pt`. No weights are
made up: a name whose file is not here is a WeightsError when it is loaded.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vision.card import MAX_SIDE, Boxes, Card, Input, name_list
from vision.errors import ModelError, WeightsError

_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$")        # in a published file's name
_YOLO_RELEASE = "https://github.com/ultralytics/assets/releases/download/v8.4.0/"
_AGPL = "AGPL-3.0 or an Ultralytics licence"
_ZERO, _ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def classifier(name: str) -> Card:
    """The card for `torchvision:ARCH` or `timm:ARCH`, with `@FILE` for weights at a path."""
    library, _, rest = name.partition(":")
    arch, _, file = rest.partition("@")
    makers = {"torchvision": _torchvision, "timm": _timm}
    if library not in makers:
        raise ModelError(f"no library {library!r} in {name!r}. There are: torchvision:NAME, timm:NAME")
    card = makers[library](arch)
    if not file:
        return card
    path = Path(file).absolute()
    return replace(
        card, name=f"{library}:{arch}@{path.name}", file=str(path), sha256="", url=None, source=file
    )


def _known(arch: str, names: Sequence[str], library: str) -> None:
    if arch not in names:
        near = ", ".join(difflib.get_close_matches(arch, names, n=3, cutoff=0.3)) or "none"
        raise ModelError(f"{library} has no classifier {arch!r}. Nearest: {near}")


def _torchvision(arch: str) -> Card:
    from torchvision import models

    _known(arch, models.list_models(module=models), "torchvision")
    weights = models.get_model_weights(arch).DEFAULT
    how = weights.transforms()
    return _card(
        f"torchvision:{arch}", "torchvision_classifier", arch, weights.url, how.crop_size[0],
        how.crop_size[0] / how.resize_size[0], how.mean, how.std,
        names=tuple(weights.meta["categories"]), licence="BSD-3-Clause (torchvision); see its page",
    )


def _timm(arch: str) -> Card:
    import timm

    _known(arch, [*timm.list_models(), *timm.list_pretrained()], "timm")
    how = timm.get_pretrained_cfg(arch)
    return _card(
        f"timm:{arch}", "timm_classifier", arch, how.url or None, how.input_size[-1], how.crop_pct,
        how.mean, how.std,
        names="imagenet" if how.num_classes == 1000 else tuple(map(str, range(how.num_classes))),
        licence=how.license or "as timm states",
    )


def _card(
    name: str, net: str, arch: str, url: str | None, side: int, crop: float,
    mean: Sequence[float], std: Sequence[float], *, names: tuple[str, ...] | str, licence: str,
) -> Card:
    classes = 1000 if isinstance(names, str) else len(names)
    digest = _DIGEST.search(url or "")
    return Card(
        name=name, task="classify", net=net, file=url.rsplit("/", 1)[1] if url else f"{arch}.safetensors",
        sha256=digest[1] if digest else "", licence=licence, source=url or "give it as NAME@FILE", url=url,
        input=Input((side, side), "crop", crop=crop, mean=(mean[0], mean[1], mean[2]),
                    std=(std[0], std[1], std[2])),
        names=names,
        config={"arch": arch, "classes": classes},
    )


def yolo(name: str) -> Card:
    """The card for a YOLO `.pt`: a path, or the name of one that ultralytics publishes."""
    path = Path(name)
    here = path.is_file()
    return Card(
        name=path.name, task="detect", form="ultralytics", licence=_AGPL,
        file=str(path.absolute()) if here else path.name, url=None if here else _YOLO_RELEASE + path.name,
        source=str(path) if here else "Ultralytics, who state no digest",
        input=Input((640, 640), "letterbox", mean=_ZERO, std=_ONE), boxes=Boxes("yolo", 0.7),
    )


@dataclass(frozen=True)
class Output:
    """One output of a graph. shape: 0 where it is not fixed."""

    name: str
    shape: tuple[int, ...]
    whole: bool                          # whole numbers: labels


@dataclass(frozen=True)
class _Family:
    """Detectors whose outputs look alike, decoded by one of `vision.tasks.decoders.DECODERS`.

    looks: the outputs, for a reader. order: gives the outputs in the decoder's order, or None where they are
    of another family; its second argument is how many cells the levels of stride 8, 16, 32 and 64 have.
    classes: how many, from the outputs in order; 0: they do not say. how: of `Input`.
    """

    looks: str
    order: Callable[[list[Output], list[int]], list[Output] | None]
    classes: Callable[[list[Output]], int]
    max_iou: float
    how: dict[str, Any]
    bgr: bool = False
    task: str = "detect"


def _only(fits: Callable[[tuple[int, ...], list[int]], bool]) -> Callable[..., list[Output] | None]:
    """The order of a family with one output of three axes."""
    def order(outputs: list[Output], cells: list[int]) -> list[Output] | None:
        alone = len(outputs) == 1 and len(outputs[0].shape) == 3
        return outputs if alone and fits(outputs[0].shape, cells) else None

    return order


def _by_level(axes: int, of_place: Callable[[int], bool]) -> Callable[..., list[Output] | None]:
    """The order of a family with two outputs a level: what tells classes first, the finest level first."""
    channel, first = (-1, 1) if axes == 3 else (1, 2)

    def order(outputs: list[Output], cells: list[int]) -> list[Output] | None:
        if len(outputs) not in (6, 8) or any(len(o.shape) != axes for o in outputs):
            return None
        place = [o for o in outputs if of_place(o.shape[channel])]
        scores = [o for o in outputs if o not in place]
        if len(place) != len(scores) or len({o.shape[channel] for o in scores}) != 1:
            return None
        return [o for part in (scores, place) for o in sorted(part, key=lambda o: -o.shape[first])]

    return order


def _pair(fits: Callable[[tuple[int, ...]], bool]) -> Callable[..., list[Output] | None]:
    """The order of a family with boxes (B,N,4) and a table (B,N,C)."""
    def order(outputs: list[Output], cells: list[int]) -> list[Output] | None:
        boxes = [o for o in outputs if o.shape[-1] == 4 and len(o.shape) == 3]
        tables = [o for o in outputs if o not in boxes and len(o.shape) == 3 and not o.whole]
        pair = len(boxes) == len(tables) == 1 and len(outputs) == 2 and fits(tables[0].shape)
        return boxes + tables if pair else None

    return order


def _rows(outputs: list[Output], cells: list[int]) -> list[Output] | None:
    boxes = [o for o in outputs if o.shape[-1] == 4 and len(o.shape) == 3]
    scores, labels = ([o for o in outputs if len(o.shape) == 2 and o.whole == whole] for whole in (False, True))
    found = boxes + scores + labels
    return found if len(boxes) == len(scores) == len(labels) == 1 and len(outputs) == 3 else None


def _masks(fits: Callable[[tuple[int, ...], int], bool]) -> Callable[..., list[Output] | None]:
    """The order of a family with a table (B,...) and K maps (B,K,h,w), whose shares in each mask the table has."""
    def order(outputs: list[Output], cells: list[int]) -> list[Output] | None:
        found = sorted(outputs, key=lambda o: len(o.shape))
        pair = [len(o.shape) for o in found] == [3, 4] and fits(found[0].shape, found[1].shape[1])
        return found if pair else None

    return order


def _plates(outputs: list[Output], cells: list[int]) -> list[Output] | None:
    found = sorted(outputs, key=lambda o: -o.shape[-1] if o.shape else 0)
    return found if [o.shape[1:] for o in found] == [(14,), (2,), (1,)] else None


_STRETCHED = {"resize": "stretch", "mean": _ZERO, "std": _ONE}
_CORNER = {"resize": "corner", "mean": _ZERO, "std": (1 / 255, 1 / 255, 1 / 255)}
_FAMILIES = {
    "yolo": _Family("one (B,4+C,A)", _only(lambda s, n: s[2] in (0, sum(n[:3])) and s[1] != s[2]),
                    lambda o: o[0].shape[1] - 4, 0.7, {"resize": "letterbox", "mean": _ZERO, "std": _ONE}),
    "yolo_rows": _Family("one (B,N,6)", _only(lambda s, n: s[2] == 6 and s[1] != sum(n[:3])), lambda o: 0, 1.0,
                         {"resize": "letterbox", "mean": _ZERO, "std": _ONE}),
    "yolox": _Family("one (B,A,5+C)", _only(lambda s, n: s[1] in (0, sum(n[:3])) and s[2] > 5),
                     lambda o: o[0].shape[2] - 5, 0.45, _CORNER, bgr=True),
    "nanodet": _Family("one (B,A,C+32)", _only(lambda s, n: s[1] in (0, sum(n)) and s[2] > 32),
                       lambda o: o[0].shape[2] - 32, 0.6, {"resize": "stretch"}, bgr=True),
    "picodet": _Family("scores (B,a,C) and distributions (B,a,32) of 3 or 4 levels",
                       _by_level(3, lambda c: c in (32, 44)), lambda o: o[0].shape[2], 0.6, {"resize": "stretch"}),
    "rtmdet": _Family("logits (B,C,h,w) and distances (B,4,h,w) of 3 levels", _by_level(4, lambda c: c == 4),
                      lambda o: o[0].shape[1], 0.65, {"resize": "corner"}, bgr=True),
    "rows": _Family("boxes (B,N,4), scores (B,N), labels (B,N)", _rows, lambda o: 0, 1.0, _STRETCHED),
    "detr": _Family("boxes (B,Q,4) and logits (B,Q,C) of at most 1000 queries", _pair(lambda s: s[1] <= 1000),
                    lambda o: o[1].shape[2], 1.0, _STRETCHED),
    "ssd": _Family("boxes (B,A,4) and scores (B,A,1+C)", _pair(lambda s: s[1] == 0 or s[1] > 1000),
                   lambda o: o[1].shape[2] - 1, 0.45,
                   {"resize": "stretch", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}),
    "plates": _Family("offsets (A,14), (A,2) and (A,1)", _plates, lambda o: 1, 0.3, _CORNER, bgr=True),
    "yolo_masks": _Family(
        "one (B,4+C+K,A) and maps (B,K,h,w)", _masks(lambda s, k: s[1] > 4 + k or s[1] == s[2] == 0),
        lambda o: max(0, o[0].shape[1] - 4 - o[1].shape[1]), 0.7, {"resize": "letterbox", "mean": _ZERO, "std": _ONE},
        task="instances"),
    "yolo_mask_rows": _Family(
        "one (B,N,6+K) and maps (B,K,h,w)", _masks(lambda s, k: s[2] == 6 + k), lambda o: 0, 1.0,
        {"resize": "letterbox", "mean": _ZERO, "std": _ONE}, task="instances"),
    "yolo_points": _Family("one (B,5+51,A)", _only(lambda s, n: s[1] == 56 and s[2] in (0, sum(n[:3]))), lambda o: 1,
                           0.7, {"resize": "letterbox", "mean": _ZERO, "std": _ONE}, task="pose"),
    "yolo_point_rows": _Family("one (B,N,6+51)", _only(lambda s, n: s[2] == 57 and s[1] != sum(n[:3])), lambda o: 1,
                               1.0, {"resize": "letterbox", "mean": _ZERO, "std": _ONE}, task="pose"),
}
_TASKS = {"detect": "detect", "segment": "instances", "pose": "pose"}       # ultralytics' word for it, and ours
_BODY = ([17, 3], (17, 3))                                   # points of a person, and what is said of each
_LISTS: dict[int, tuple[str, ...] | str] = {
    0: "coco", 20: "voc", 80: "coco", 90: "coco90", 91: ("background", *name_list("coco90")),
}


def onnx_detector(path: str | Path, decoder: str | None = None) -> Card:
    """The card for a detector's `.onnx` file, from its metadata and the shapes of its outputs.

    decoder: the family that it is of, a key of `_FAMILIES`, where the outputs do not tell. Raises WeightsError
    for a file that is no ONNX, ModelError for outputs that are of no family, or of several.
    """
    if decoder is not None and (Path(path).suffix != ".onnx" or decoder not in _FAMILIES):
        raise ModelError(
            f"a decoder is for the outputs of an .onnx file, one of {', '.join(_FAMILIES)}; got {decoder!r} for "
            f"{str(path)!r}"
        )
    model, outputs, told = onnx_outputs(Path(path))
    sides = picture_wh(model, told)
    name, ordered = _recognised(str(path), outputs, sides, told, decoder)
    family = _FAMILIES[name]
    count = family.classes(ordered)
    classes = _names(str(path), told["names"]) if "names" in told else (
        ("person",) if family.task == "pose" else _LISTS.get(count, tuple(f"class {i}" for i in range(count))))
    ultralytics = "names" in told
    return Card(
        name=Path(path).name, task=family.task, form="onnx", file=str(Path(path).absolute()),
        licence=told.get("license", _AGPL if ultralytics else "as its publisher states"), source=str(path),
        names=classes, input=Input(sides, **family.how), boxes=Boxes(name, family.max_iou),
        min_score=0.25 if ultralytics else 0.4,
        config={"outputs": [o.name for o in ordered], **({"channels": "BGR"} if family.bgr else {})},
        tolerance=0.1,                   # bfloat16 where it is fast, as ultralytics' own OpenVINO run has it
    )


def onnx_outputs(path: Path) -> tuple[Any, list[Output], dict[str, str]]:
    """An ONNX file without its weights, its outputs and its metadata. Raises WeightsError for another file."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise WeightsError(f"{str(path)!r} is not a readable ONNX file ({error}).") from error
    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.UINT8)
    outputs = [
        Output(o.name, tuple(d.dim_value for d in o.type.tensor_type.shape.dim), o.type.tensor_type.elem_type in whole)
        for o in model.graph.output
    ]
    return model, outputs, {entry.key: entry.value for entry in model.metadata_props}


def picture_wh(model: Any, told: dict[str, str]) -> tuple[int, int]:
    """The size of the pictures that the graph takes, or 640x640, or what ultralytics wrote, where it takes
    any."""
    weights = {i.name for i in model.graph.initializer}
    shapes = [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input if i.name not in weights]
    taken = next((shape for shape in shapes if len(shape) == 4), [0, 0, 0, 0])
    height, width = taken[2:] if taken[1] == 3 or 3 not in taken else taken[1:3]
    if not (width and height):
        said = _literal(told["imgsz"]) if "imgsz" in told else (640, 640)
        if not (isinstance(said, list | tuple) and len(said) == 2
                and all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in said)):
            raise ModelError(f"the graph does not say its picture size: its metadata says {told['imgsz'][:60]!r}, "
                             f"expected height and width, 1 to {MAX_SIDE}.")
        height, width = said
    return int(width), int(height)


def _names(path: str, text: str) -> tuple[str, ...]:
    """The classes that ultralytics wrote into the metadata. Raises ModelError for another text."""
    names = _literal(text)
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not (isinstance(names, dict) and names and set(names) == set(range(len(names)))):
        raise ModelError(f"{path!r} has no list of class names: its metadata says {text[:60]!r}.")
    return tuple(str(names[i]) for i in range(len(names)))


def _recognised(
    path: str, outputs: list[Output], sides: tuple[int, int], told: dict[str, str], decoder: str | None
) -> tuple[str, list[Output]]:
    """The family of these outputs, and they in its order. Raises ModelError for none and for several."""
    if told.get("task", "detect") not in _TASKS:
        raise ModelError(f"{path!r} is a YOLO for {told['task']!r}, not one of upright boxes, masks or bodies")
    if told.get("task") == "pose" and _literal(told.get("kpt_shape", "")) not in _BODY:
        points = f"has points {told['kpt_shape'][:20]}" if "kpt_shape" in told else "does not say which points"
        raise ModelError(f"{path!r} {points}; bodies here have COCO's 17, each with x, y and how visible it is")
    cells = [-(-sides[0] // stride) * -(-sides[1] // stride) for stride in (8, 16, 32, 64)]
    fit = {
        name: ordered for name, family in _FAMILIES.items()
        if decoder in (None, name) and (ordered := family.order(outputs, cells)) is not None
    }
    if "names" in told and decoder is None:                  # ultralytics says so in its metadata
        options = _literal(told.get("args", ""))
        inside = (isinstance(options, dict) and bool(options.get("nms"))) or told.get("end2end") == "True"
        rows = inside or (len(outputs) == 1 and outputs[0].shape[-1] == 6)
        names = {1: ("yolo", "yolo_rows"), 2: ("yolo_masks", "yolo_mask_rows")}.get(len(outputs), ("", ""))
        if told.get("task") == "pose":
            names, rows = ("yolo_points", "yolo_point_rows"), inside or outputs[0].shape[-1] == 57
        fit = {names[rows]: outputs} if names[rows] in fit or len(outputs) == 1 else {}
    if "task" in told:
        fit = {name: ordered for name, ordered in fit.items() if _FAMILIES[name].task == _TASKS[told["task"]]}
    if len(fit) == 1:
        return next(iter(fit.items()))
    came = ", ".join(f"{o.name} {o.shape}" for o in outputs)
    wanted = "; ".join(f"{name}: {family.looks}" for name, family in _FAMILIES.items())
    raise ModelError(
        f"the outputs of {path!r} are {came}; they fit {' and '.join(fit) or f'no family ({wanted})'}. "
        "--decoder NAME, or Detector.load(..., decoder=NAME), says which one it is; what is no detector has a card "
        f"beside it: vision models card {path} --task classify|segment"
    )


def _literal(text: str) -> Any:
    """A Python literal of the metadata; None where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
