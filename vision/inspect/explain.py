"""Which part of a picture spoke for what a model says of it, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from vision.boxes import iou
from vision.drawing import colour
from vision.errors import ModelError, UsageError
from vision.inspect.heat import Heat, Target, grad_cam, last_map, occlusion, overlay, untouched
from vision.inspect.opened import module_of
from vision.nets.deploy import decoded
from vision.spec import nearest
from vision.tasks.detect import input_view
from vision.types import Floats, Image
from vision.view import fitted, two_streams

How = Literal["grad-cam", "occlusion"]
_BODIES = ("encoder", "backbone", "body", "features", "net")     # names of what comes before pyramids and heads
_BOXES = 6


@dataclass(frozen=True)
class Explained:
    """What spoke for one statement. said: the statement, for people. seen: what the network was shown, (h,w,3) uint8
    BGR, or (T,h,w,3). heat: over it. box: (4,) xyxy in its pixels, of a detector."""

    said: str
    seen: Image
    heat: Heat
    box: Floats | None = None

    @property
    def drawn(self) -> list[Image]:
        """The pictures under their heat: one, or one a frame."""
        if self.seen.ndim == 4:
            maps = self.heat.map if self.heat.map.ndim == 3 else self.heat.map[None]
            places = np.linspace(0, len(maps) - 1, len(self.seen)).round().astype(int)
            return [overlay(frame, maps[i]) for frame, i in zip(self.seen, places, strict=True)]
        picture = overlay(self.seen, self.heat.map)
        if self.box is not None:
            left, top, right, bottom = self.box.round().astype(int).tolist()
            cv2.rectangle(picture, (left, top), (right, bottom), colour(0), 2)
        return [picture]


class Explainer:
    """Says what speaks for what a model finds: Grad-CAM or occlusion. Its weights are the same afterwards.

    model: as `vision explain` takes it: a classifier, a detector, a segmenter or an action network of torch's. how:
    grad-cam (Selvaraju et al. 2017) or occlusion (Zeiler and Fergus 2014). layer: whose maps Grad-CAM looks at; the
    deepest unless given. Raises ModelError for a model of another kind.
    """

    def __init__(self, model: str, how: How = "grad-cam", layer: str = "") -> None:
        self.card, deploy, self.random = module_of(model)
        if self.card.task not in ("classify", "detect", "segment", "action"):
            raise ModelError(f"{self.card.name!r} is for {self.card.task}: classifiers, detectors, segmenters and "
                             "action networks are explained.")
        self.net, self.normalise, self.how, self.layer = deploy.net, deploy.normalise, how, layer
        self.decode: Any = getattr(deploy.net, "decode", None)
        self.names = self.card.classes
        self.clip = self.card.task == "action"

    def label(self, name: str | None) -> int | None:
        """A class by its name. Raises UsageError."""
        if name is None:
            return None
        if name not in self.names:
            raise UsageError(f"{self.card.name!r} has no class {name!r}. {nearest(name, self.names)}")
        return self.names.index(name)

    def view(self, image: Image) -> Image:
        """What the network sees of a picture: (h,w,3) uint8 BGR."""
        how = self.card.input
        if self.card.task == "detect":
            return input_view(image, how).pixels
        resize = "letterbox" if how.resize == "corner" else how.resize
        return fitted(image, how.size_wh, resize, how.crop).pixels

    def shown(self, frames: Sequence[Image]) -> tuple[Image, Tensor]:
        """What the network sees of a picture, or of as many frames as its clip has, and its input: (h,w,3) uint8 BGR or
        (T,h,w,3), and as `inputs` has it. frames: (H,W,3) uint8 BGR each."""
        if not self.clip:
            seen = self.view(np.asarray(frames[-1]))
            return seen, self.inputs(seen)
        clip, seen = self.card.clip, np.stack([self.view(frame) for frame in frames])
        if clip.channels == "two-stream":
            return seen[-1:], self.inputs(two_streams(seen[-3:]))
        return (seen[-1:], self.inputs(seen[-1])) if clip.per_frame else (seen, self.inputs(seen))

    def inputs(self, seen: Image) -> Tensor:
        """(1,3,h,w) float32, normalised; of frames (T,h,w,3) a clip (1,3,T,h,w)."""
        rgb = torch.from_numpy(np.ascontiguousarray(seen[..., ::-1]))
        axes = (3, 0, 1, 2) if rgb.ndim == 4 else (2, 0, 1)
        x: Tensor = self.normalise(rgb.permute(*axes)[None])
        return x

    def __call__(self, image: Image | Sequence[Image], name: str | None = None) -> list[Explained]:
        """What speaks for a class: the best one's unless `name` says. image: (H,W,3) uint8 BGR, of an action network
        as many frames as its clip has, `rate` a second. Of a detector one a box, the surest first, and none where it
        finds none; so of a segmenter that sees the class nowhere."""
        label = self.label(name)
        if self.clip:
            return [self._action(list(image), label)]
        seen, x = self.shown([np.asarray(image)])
        match self.card.task:
            case "detect":
                return self._boxes(seen, x, label)
            case "segment":
                return self._area(seen, x, label)
        return [self._class(seen, x, label)]

    def _heat(self, x: Tensor, target: Target, layer: str, local: bool = False) -> Heat:
        if self.how == "occlusion":
            return occlusion(self.net, x, target)
        return grad_cam(self.net, x, target, layer, local)

    def _class(self, seen: Image, x: Tensor, label: int | None) -> Explained:
        with untouched(self.net), torch.no_grad():
            logits = _first(self.net(x))
            shares = (logits.sigmoid() if self.card.config.get("multilabel") else logits.softmax(1))[0]
        of = int(shares.argmax()) if label is None else label
        heat = self._heat(x, lambda outputs: _first(outputs)[0, of], self.layer)
        return Explained(f"{self.names[of]} {float(shares[of]):.2f}", seen, heat)

    def _area(self, seen: Image, x: Tensor, label: int | None) -> list[Explained]:
        with untouched(self.net), torch.no_grad():
            labels = _first(self.net(x)).argmax(1)[0]
        of = int(labels.flatten().bincount().argmax()) if label is None else label
        where = labels == of
        if not where.any():
            return []
        layer = self.layer or _body(self.net, x)
        heat = self._heat(x, lambda outputs: _first(outputs)[0, of][where].mean(), layer)
        return [Explained(f"{self.names[of]}, {float(where.float().mean()):.0%} of the picture", seen, heat)]

    def _boxes(self, seen: Image, x: Tensor, label: int | None) -> list[Explained]:
        with untouched(self.net), torch.no_grad():
            outputs = decoded(self.net, x)
        if len(outputs) != 2 or outputs[1].ndim != 3:
            raise ModelError(f"{self.card.name!r} does not say each place's boxes and scores: no box can be explained.")
        boxes, scores = (one[0] for one in outputs)
        layer = self.layer or _body(self.net, x)
        found = []
        for place, of in _surest(boxes.numpy(), scores.numpy(), label, self.card.min_score):

            def target(raw: Any, place: int = place, of: int = of) -> Tensor:
                scored: Tensor = self.decode(raw, (x.shape[-1], x.shape[-2]))[1]
                return scored[0, place, of]

            said = f"{self.names[of]} {float(scores[place, of]):.2f}"
            found.append(Explained(said, seen, self._heat(x, target, layer, local=True), boxes[place].numpy()))
        return found

    def _action(self, frames: list[Image], label: int | None) -> Explained:
        shown, x = self.shown(frames)
        with untouched(self.net), torch.no_grad():
            shares = _first(self.net(x)).softmax(1)[0]
        of = int(shares.argmax()) if label is None else label
        heat = self._heat(x, lambda outputs: _first(outputs)[0, of], self.layer)
        if self.card.clip.channels == "two-stream" and heat.map.ndim == 3:       # what is seen, and what moves
            heat = Heat(heat.map.max(0)[None], heat.value, heat.layer)
        return Explained(f"{self.names[of]} {float(shares[of]):.2f}", shown, heat)

    @property
    def frames(self) -> int:
        """How many frames a call wants: 1 of what sees pictures."""
        clip = self.card.clip
        if not self.clip:
            return 1
        return 3 if clip.channels == "two-stream" else 1 if clip.per_frame else clip.frames


def _first(outputs: Any) -> Tensor:
    """The logits among a network's outputs."""
    if isinstance(outputs, dict):
        outputs = outputs["out"]
    found: Tensor = outputs if isinstance(outputs, Tensor) else outputs[0]
    return found


def _body(net: torch.nn.Module, x: Tensor) -> str:
    """The deepest map before a detector's or a segmenter's heads."""
    inside = tuple(name for name, _ in net.named_children() if name in _BODIES)
    return last_map(net, x, tuple(f"{name}." for name in inside) or ("",))


def _surest(boxes: Floats, scores: Floats, label: int | None, min_score: float) -> list[tuple[int, int]]:
    """Places and classes of the surest boxes, none of which lies over another of its class."""
    kept: list[tuple[int, int]] = []
    best = scores.argmax(1) if label is None else np.full(len(scores), label)
    values = scores[np.arange(len(scores)), best]
    for place in np.argsort(-values):
        if values[place] < min_score or len(kept) == _BOXES:
            break
        over = [one for one, of in kept if of == best[place]]
        if not over or iou(boxes[place : place + 1], boxes[over]).max() < 0.5:
            kept.append((int(place), int(best[place])))
    return kept
