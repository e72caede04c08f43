"""A card says everything that is needed to run a network: which one, where its weights are, how a
frame becomes its input and what its classes are called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from vision.errors import WeightsError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Card:
    """One model.

    name: what the user types. task: `detect`, `classify`, ... net: a key of `vision.nets.NETS`, or
    `onnx` for a foreign graph, `openvino` for a compressed one. file: the weights' file name. sha256:
    its digest, whole or the leading digits that its publisher states. licence, source: of the weights.
    size_wh: the network's input in pixels. resize: how a frame gets there (`vision.view`). enlarge: with
    "letterbox", whether a smaller frame is brought to that size; else it stays as it is. names: the
    classes, either a tuple or the name of a list in `vision/names`. min_score: the default threshold.
    max_iou: a detector's default for suppression; 1 where the graph suppresses by itself. output:
    how a detector reads the network's outputs, a key of `vision.tasks.detect.DECODERS`.
    crop: with resize "crop", the share of the frame's shorter side that the middle keeps.
    mean, std: normalisation of RGB in 0..1. tolerance: the largest difference from torch float32
    that a back end may show (`vision models check`). config: the network's keyword arguments.
    clip: for networks on video, the frames of a window and their rate in frames a second. per_frame:
    such a network takes single pictures, and a window's logits are the mean of theirs. channels: what
    it sees of one: its colours, or those and what moves (`vision.view.two_streams`). features: names
    of the descriptors that follow the logits among the outputs. int8: the name of the card of the
    compressed file, which a CPU takes unless it is told otherwise; empty for weights of one's own. url:
    where `vision weights pull` finds the file.
    """

    name: str
    task: str
    net: str
    file: str
    sha256: str
    licence: str
    source: str
    size_wh: tuple[int, int]
    resize: Literal["letterbox", "stretch", "crop"]
    names: tuple[str, ...] | str
    min_score: float = 0.25
    max_iou: float = 0.5
    enlarge: bool = True
    output: str = "dense"
    crop: float = 0.875
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    tolerance: float = 0.02
    config: Mapping[str, Any] = field(default_factory=dict)
    clip: tuple[int, float] = (1, 25.0)
    per_frame: bool = False
    channels: Literal["colour", "two-stream"] = "colour"
    features: tuple[str, ...] = ()
    int8: str = ""
    url: str | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs."""
        return name_list(self.names) if isinstance(self.names, str) else self.names

    def to_json(self) -> str:
        """The card as JSON: what a trained weights file carries in its safetensors metadata."""
        return json.dumps(asdict(self))


@cache
def name_list(name: str) -> tuple[str, ...]:
    """The list of classes `name` in `vision/names`: voc, coco, ..."""
    path = Path(__file__).parent / "names" / f"{name}.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def card_from_json(text: str, path: Path) -> Card:
    """The card that `Card.to_json` wrote, pointing at the weights `path`. Raises WeightsError for another
    text."""
    try:
        values = json.loads(text)
        known = {f.name for f in fields(Card)}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        card = replace(Card(**values), file=str(path.absolute()), sha256="", int8="")
        _ = card.classes
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise WeightsError(
            f"the card of {str(path)!r} cannot be read ({error}). It was written by another version, or not "
            "by `vision train`."
        ) from error
    return card


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
