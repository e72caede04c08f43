"""Cards for what is not in the catalogue: torchvision's and timm's classifiers, ONNX files, YOLO.

`vision.zoo.find` comes here for `torchvision:NAME`, `timm:NAME` (each also with `@FILE`, weights of
the user's own), a path to an `.onnx` file that ultralytics exported, and a YOLO `.pt`. No weights are
made up: a name whose file is not here is a WeightsError when it is loaded.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vision.card import MAX_SIDE, Boxes, Card, Input
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


def onnx_detector(path: Path) -> Card:
    """The card for an `.onnx` file that ultralytics exported (YOLOv8, 11, 26), from its metadata.

    Its only output is (B,4+C,A), or (B,N,6) where suppression is built in. Raises WeightsError for a
    file that is no ONNX, ModelError for a graph of another kind.
    """
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise WeightsError(f"{str(path)!r} is not a readable ONNX file ({error}).") from error
    told = {entry.key: entry.value for entry in model.metadata_props}
    shapes: list[list[Any]] = [
        [d.dim_value or None for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    kind = told.get("task", "unknown")
    if len(shapes) != 2 or [len(s) for s in shapes] != [4, 3] or "names" not in told or kind != "detect":
        raise ModelError(
            f"{str(path)!r} is not a YOLO detector as ultralytics exports it: expected an input (B,3,H,W), "
            f"an output (B,4+C,A) or (B,N,6), and metadata with task 'detect' and names; got shapes "
            f"{shapes}, task {kind!r}"
        )
    names, options = _literal(told["names"]), _literal(told.get("args", "{}"))
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    sides = _literal(told.get("imgsz", "")) if None in shapes[0][2:] else shapes[0][2:]
    if not (isinstance(names, dict) and names and set(names) == set(range(len(names)))):
        raise ModelError(f"{str(path)!r} has no list of class names: its metadata says {told['names'][:60]!r}.")
    if not (isinstance(sides, list | tuple) and len(sides) == 2
            and all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in sides)):
        raise ModelError(
            f"{str(path)!r} does not say its picture size: its metadata says {told.get('imgsz', '')[:60]!r}, expected "
            f"height and width, 1 to {MAX_SIDE}."
        )
    classes = tuple(str(names[i]) for i in range(len(names)))
    nms = isinstance(options, dict) and bool(options.get("nms"))
    suppressed = shapes[1][2] == 6 or told.get("end2end") == "True" or nms
    height, width = sides
    return Card(
        name=path.name, task="detect", form="onnx", file=str(path.absolute()),
        licence=told.get("license", _AGPL), source=str(path), names=classes,
        input=Input((int(width), int(height)), "letterbox", mean=_ZERO, std=_ONE),
        boxes=Boxes("yolo_rows", 1.0) if suppressed else Boxes("yolo", 0.7),
        tolerance=0.1,                   # bfloat16 where it is fast, as ultralytics' own OpenVINO run has it
    )


def _literal(text: str) -> Any:
    """A Python literal of the metadata; None where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
