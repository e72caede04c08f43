"""A card says everything that is needed to run a network: which one, where its weights are, how a
frame becomes its input and what its classes are called."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vision.errors import ModelError, WeightsError

Form = Literal["network", "onnx", "openvino", "torchscript", "tflite", "ultralytics", "module"]
Resize = Literal["letterbox", "corner", "stretch", "crop", "ten", "shrink", "none"]
Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
_MAX_FRAMES = 512
MAX_SIDE = 8192                          # pixels of a network's input
_VERSION = 2                             # of the JSON; 1 said none, and was flat
_MAX_CLASSES = 1 << 16
_MAX_PROPOSALS = 10_000


@dataclass(frozen=True)
class Input:
    """How a frame becomes the network's input.

    size_wh: in pixels.
    resize: how a frame gets to that size (`vision.view`); "none": it stays as it is; "shrink": so does one that fits
        into that size.
        "ten": of a classifier, ten views whose probabilities are averaged.
    fixed: the network takes this size alone; else a letterboxed one may be smaller.
    enlarge: with "letterbox", whether a smaller frame is brought to that size or stays as it is.
    crop: with "crop", the share of the frame's shorter side that the middle keeps, 0..1.
    mean, std: normalisation of RGB in 0..1, inside the graph.
    """

    size_wh: tuple[int, int]
    resize: Resize
    fixed: bool = False
    enlarge: bool = True
    crop: float = 0.875
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD


@dataclass(frozen=True)
class Boxes:
    """How a detector's boxes are read.

    layout: of its outputs, a key of `vision.tasks.decoders.DECODERS`, or "yunet".
    max_iou: the default for suppression, 0..1; 1 where the graph suppresses by itself.
    proposals: so many boxes of selective search the network is handed with a picture; 0: it finds its own.
    """

    layout: str = "dense"
    max_iou: float = 0.5
    proposals: int = 0


@dataclass(frozen=True)
class Clip:
    """What a network on video looks at.

    frames: of a window; 1 for a network on pictures. rate: of these frames, in frames a second.
    per_frame: it takes single pictures, and a window's logits are the mean of theirs.
    channels: what it sees of one: its colours, or those and what moves (`vision.view.two_streams`).
    features: names of the descriptors that follow the logits among the outputs.
    """

    frames: int = 1
    rate: float = 25.0
    per_frame: bool = False
    channels: Literal["colour", "two-stream"] = "colour"
    features: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Card:
    """One model.

    name: what the user types. task: `detect`, `classify`, ...
    form: what the file holds: the weights of a `network`, an `onnx` graph, an `openvino` graph that
        `vision compress` or `vision export` wrote, a `torchscript` or a `tflite` of the latter, an `ultralytics`
        pickle, or nothing: a `module` in memory.
    net: of a network, its key in `vision.nets.NETS`. config: its keyword arguments.
    file: the file's name, or its path. sha256: its digest, whole or the leading digits that its
        publisher states. url: where `vision weights pull` finds it. megabytes: of what is fetched; 0: not known.
    licence, source: of the weights. use: "research" where they are not for products.
    figures: what was measured, by precision and metric: `{"fp32": {"AP": 0.435}, "int8": {"AP": 0.43}}`. The first
        metric judges which precisions may be taken. measured_on: the data, and who measured.
    without: beginnings of names in the file that are not this network's: a detector and its masks may be one file.
    names: the classes, either a tuple or the name of a list in `vision/names`.
    min_score: the default threshold, 0..1.
    tolerance: the largest difference from torch float32 that a back end may show
        (`vision models check`).
    int8: the compressed model, which a CPU uses unless a precision is given.
    """

    name: str
    task: str
    file: str
    licence: str
    source: str
    input: Input
    form: Form = "network"
    net: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    url: str | None = None
    megabytes: float = 0.0
    use: Literal["free", "research"] = "free"
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    measured_on: str = ""
    without: tuple[str, ...] = ()
    names: tuple[str, ...] | str = ()
    min_score: float = 0.25
    tolerance: float = 0.02
    boxes: Boxes = Boxes()
    clip: Clip = Clip()
    int8: Card | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs."""
        return name_list(self.names) if isinstance(self.names, str) else self.names

    def to_json(self) -> str:
        """The card as JSON, without `int8`: what a trained file carries in its safetensors metadata."""
        values = asdict(replace(self, int8=None))
        del values["int8"]
        return json.dumps({"version": _VERSION, **values})


_COCO_NAME = {                                   # of what VOC calls otherwise
    "aeroplane": "airplane", "diningtable": "dining table", "motorbike": "motorcycle",
    "pottedplant": "potted plant", "sofa": "couch", "tvmonitor": "tv",
}


def alike(name: str) -> str:
    """One name for a class, however VOC or COCO write it."""
    return _COCO_NAME.get(name.casefold(), name.casefold())


@cache
def name_list(name: str) -> tuple[str, ...]:
    """The list of classes `name` in `vision/names`: voc, coco, ... Raises ModelError for another name."""
    lists = {path.stem: path for path in (Path(__file__).parent / "names").glob("*.txt")}
    if name not in lists:
        raise ModelError(f"no list of classes {name!r:.100}. There are: {', '.join(sorted(lists))}.")
    return tuple(lists[name].read_text(encoding="utf-8").splitlines())


def card_from_json(text: str, path: Path) -> Card:
    """The card that `Card.to_json` wrote, in this version or an older one, pointing at the file `path`.

    Raises WeightsError for another text, and for a card of a newer version.
    """
    try:
        values = json.loads(text)
        version = values.pop("version", 1)
        if version > _VERSION:
            raise WeightsError(
                f"the card of {str(path)!r} has version {version}, and this vision reads up to {_VERSION}. "
                "Update vision, or train the file again with this one."
            )
        values = _tuples(values if version == _VERSION else _from_version_1(values))
        if isinstance(values.get("figures"), str):       # one line, at first
            values |= {"figures": {}, "measured_on": values["figures"]}
        parts = {"input": Input, "boxes": Boxes, "clip": Clip}
        values |= {key: kind(**values[key]) for key, kind in parts.items()}
        card = Card(**{**values, "file": str(path.absolute()), "sha256": "", "url": None})
        checked_card(card)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, ModelError) as error:
        raise WeightsError(
            f"the card of {str(path)!r} cannot be read ({type(error).__name__}: {error}). It was not "
            "written by `vision train`, `vision compress` or `vision export`."
        ) from error
    return card


def checked_card(card: Card) -> Card:
    """The card itself. Raises ValueError, or what comes of it, where its values are not what its fields say."""
    for part, name in ((card, ""), (card.input, "input."), (card.boxes, "boxes."), (card.clip, "clip.")):
        for key, hint in get_type_hints(type(part)).items():
            if not _fits(getattr(part, key), hint):
                raise ValueError(f"{name}{key} cannot be {str(getattr(part, key))[:60]!r}")
    if not all(1 <= side <= MAX_SIDE for side in card.input.size_wh):
        raise ValueError(f"input.size_wh must be 1 to {MAX_SIDE} a side; got {card.input.size_wh}")
    if not 1 <= card.clip.frames <= _MAX_FRAMES or not 0 < card.clip.rate <= 1000:
        raise ValueError(f"clip has 1 to {_MAX_FRAMES} frames at up to 1000 a second; got {card.clip}")
    if not all(abs(mean) < 1e6 for mean in card.input.mean) or not all(1e-6 < abs(s) < 1e6 for s in card.input.std):
        raise ValueError("input.mean and input.std must lie below 1e6, and std not be 0")
    if not 0 <= card.min_score <= 1 or not 0 <= card.boxes.max_iou <= 1 or not 0 < card.input.crop <= 1:
        raise ValueError("min_score and boxes.max_iou lie in 0..1, input.crop in (0..1]")
    if card.tolerance < 0 or card.megabytes < 0:
        raise ValueError("tolerance and megabytes are 0 at least")
    if len(card.classes) > _MAX_CLASSES:
        raise ValueError(f"names are at most {_MAX_CLASSES}; got {len(card.classes)}")
    if not 0 <= card.boxes.proposals <= _MAX_PROPOSALS:
        raise ValueError(f"boxes.proposals are 0 to {_MAX_PROPOSALS}; got {card.boxes.proposals}")
    classes = card.config.get("classes", len(card.classes))
    if classes != len(card.classes):
        raise ValueError(f"it names {len(card.classes)} classes and its network has {classes!s:.20}")
    return card


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of a field's type."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint is Any or is_dataclass(hint):
        return True
    if kind is Literal:
        return value in inner
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if kind is tuple:
        each = inner[:1] * len(value) if inner[-1:] == (...,) and isinstance(value, tuple) else inner
        return isinstance(value, tuple) and len(value) == len(each) and all(map(_fits, value, each))
    if kind is Mapping:
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and _fits(one, inner[1]) for key, one in value.items())
    if hint is NoneType:
        return value is None
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint)


def _from_version_1(old: dict[str, Any]) -> dict[str, Any]:
    """The flat card of version 1, nested. What it does not say has the defaults of then, as now."""
    net, config = old["net"], dict(old.get("config", {}))
    form = net if net in ("onnx", "openvino", "ultralytics") else "network"
    only = config.pop("input_wh", None) if form == "openvino" else None
    kept = ("name", "task", "licence", "source", "names", "min_score", "tolerance")
    renamed = {
        "input": {key: key for key in ("size_wh", "resize", "enlarge", "crop", "mean", "std")},
        "boxes": {"output": "layout", "max_iou": "max_iou"},
        "clip": {key: key for key in ("per_frame", "channels", "features")},
    }
    values: dict[str, Any] = {key: old[key] for key in kept if key in old}
    for part, keys in renamed.items():
        values[part] = {new: old[key] for key, new in keys.items() if key in old}
    if "clip" in old:
        values["clip"] |= dict(zip(("frames", "rate"), old["clip"], strict=True))
    values["input"] |= {"size_wh": only} if only else {}
    values["input"]["fixed"] = only is not None or net == "single_shot"
    research = "research" in values.get("licence", "")
    return {
        **values, "form": form, "net": net if form == "network" else "", "config": config,
        "use": "research" if research else "free",
    }


def _tuples(values: Any) -> Any:
    """JSON's lists as tuples, except inside a network's configuration."""
    if isinstance(values, dict):
        return {key: value if key == "config" else _tuples(value) for key, value in values.items()}
    return tuple(map(_tuples, values)) if isinstance(values, list) else values


def card_of(path: Path) -> Card:
    """The card that a trained `.safetensors` file carries, pointing at that file."""
    from safetensors import safe_open

    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
    except Exception as error:
        raise WeightsError(f"{str(path)!r} is not a readable safetensors file ({error}).") from error
    if "card" not in metadata:
        raise WeightsError(
            f"{str(path)!r} carries no card, so its network is not known. Give a file that "
            "`vision train` wrote, or a name from `vision models`."
        )
    return card_from_json(metadata["card"], path)
