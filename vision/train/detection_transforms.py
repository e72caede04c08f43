"""How pictures with boxes vary for training: a scaled crop, mirror, colour, mosaic, mix-up.

A sample is a dict: `picture` (3,H,W) uint8 RGB, and with N rows each `boxes` (N,4) xyxy, `labels` (N,)
and where there are some `masks` (N,H,W) and `points` (N,K,2): torchvision's tv_tensors, which its transforms, and those
here, keep together. Boxes are made with `clamping_mode=None`: a crop leaves them
as long as they are, and `visible` then sees how much of each is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as T

if TYPE_CHECKING:
    from vision.train.detect import VariedSettings

Sample = dict[str, Tensor]
_BLEND = 32.0                           # of mix-up's Beta distribution, as YOLOv5 has it: near one half
GREY = 114                              # of the border, as `view.letterbox` has it in use


def as_sample(
    picture: Tensor, boxes: Tensor, labels: Tensor, masks: Tensor | None = None, points: Tensor | None = None
) -> Sample:
    """A sample of plain tensors: picture (3,H,W), boxes (N,4) float32 xyxy pixels, labels (N,) int64, masks (N,H,W),
    points (N,K,2) float32, pixels from the picture's corner as the boxes are, NaN where there is none."""
    size_hw = (int(picture.shape[-2]), int(picture.shape[-1]))
    item: Sample = {
        "picture": tv_tensors.Image(picture), "labels": labels,
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size_hw, clamping_mode=None),
    }
    if masks is not None:
        item["masks"] = tv_tensors.Mask(masks)
    if points is not None:
        item["points"] = tv_tensors.KeyPoints(points, canvas_size=size_hw)
    return item


class Mirror(v2.RandomHorizontalFlip):  # type: ignore[misc]
    """Left and right swapped half of the time, points as boxes are: torchvision takes these for numbers of pixels. A
    point keeps its row: a left eye is a right one then."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Mirror, whatever the input is."""
        if not isinstance(inpt, tv_tensors.KeyPoints):
            return super().transform(inpt, params)
        x, y = inpt.as_subclass(Tensor).unbind(-1)
        return tv_tensors.wrap(torch.stack([inpt.canvas_size[1] - x, y], -1), like=inpt)


class ScaledCrop(v2.Transform):  # type: ignore[misc]
    """The picture at a drawn scale and place on a canvas of size_hw: cut where it is larger, on grey where
    it is smaller (large scale jittering, Ghiasi et al. 2021).

    scale: a range; 1 is the size at which the picture just fits into `fit_hw` (the canvas, if None). It is
    drawn so that halving is as likely as doubling. ratio: the largest change of the aspect.
    """

    def __init__(
        self, size_hw: tuple[int, int], scale: tuple[float, float], ratio: float = 1.0,
        fit_hw: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.size_hw, self.scale, self.ratio, self.fit_hw = size_hw, scale, ratio, fit_hw or size_hw

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is cut out, (top, left, height, width); its size on the canvas; the border around it."""
        hw = v2.query_size(flat_inputs)
        scale, stretch = _log_uniform(*self.scale), _log_uniform(1 / self.ratio, self.ratio) ** 0.5
        fit = scale * min(self.fit_hw[0] / hw[0], self.fit_hw[1] / hw[1])
        cut, size, border = [], [], []
        for side, canvas, ratio in zip(hw, self.size_hw, (fit / stretch, fit * stretch), strict=True):
            length = min(side, max(1, round(canvas / ratio)))
            # what is cut fills the canvas: no border shows where the rest of an object would be
            placed = canvas if length < side else min(canvas, max(1, round(length * ratio)))
            before = _below(canvas - placed + 1)
            cut.append((_below(side - length + 1), length))
            size.append(placed)
            border.append((before, canvas - placed - before))
        (top, height), (left, width) = cut
        (above, below), (before, after) = border
        return {
            "cut": (top, left, height, width), "size": size, "border": [before, above, after, below],
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Crop, resize and pad, whatever the input is."""
        top, left, height, width = params["cut"]
        if isinstance(inpt, tv_tensors.Mask):  # torchvision's `nearest` is half a pixel off, see segmentation
            part = inpt.as_subclass(Tensor)[..., top : top + height, left : left + width]
            if part.shape[0]:
                part = F.interpolate(part[None].byte(), params["size"], mode="nearest-exact")[0]
            else:
                part = part.new_zeros((0, *params["size"]))
            return T.pad(tv_tensors.Mask(part.to(inpt.dtype)), params["border"])
        resized = T.resized_crop(inpt, top, left, height, width, params["size"])
        return T.pad(resized, params["border"], fill=GREY if isinstance(inpt, tv_tensors.Image) else 0)


def visible(sample: Sample, share: float = 0.25, side: float = 2.0) -> Sample:
    """The rows whose boxes are still to be seen, cut to the picture: at least `share` of their area, and
    `side` pixels of width and height (as YOLOv5 does it, which asks for 0.1)."""
    boxes = sample["boxes"].as_subclass(Tensor)
    height, width = sample["picture"].shape[-2:]
    cut = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
    sides, whole = cut[:, 2:] - cut[:, :2], boxes[:, 2:] - boxes[:, :2]
    keep = (sides >= side).all(1) & (sides.prod(1) >= share * whole.prod(1))
    rows = {name: _like(value[keep], value) for name, value in sample.items() if name != "picture"}
    return {**rows, "picture": sample["picture"], "boxes": _like(cut[keep], sample["boxes"])}


def mosaic(
    samples: Sequence[Sample], size_hw: tuple[int, int], scale: tuple[float, float], share: float = 0.25
) -> Sample:
    """Four samples around a drawn centre (YOLOv4, Bochkovskiy et al. 2020), each cut to its quarter by
    `ScaledCrop`; 1 in `scale` is the size at which a picture would fill all of size_hw."""
    height, width = size_hw
    y, x = (round(side * float(torch.empty(()).uniform_(0.3, 0.7))) for side in size_hw)
    canvas = samples[0]["picture"].new_full((3, height, width), GREY)
    parts = []
    for one, (top, left, bottom, right) in zip(
        samples, ((0, 0, y, x), (0, x, y, width), (y, 0, height, x), (y, x, height, width)), strict=True
    ):
        tile = visible(ScaledCrop((bottom - top, right - left), scale, fit_hw=size_hw)(one), share)
        canvas[:, top:bottom, left:right] = tile.pop("picture")
        border = [left, top, width - right, height - bottom]
        parts.append({k: T.pad(v, border) if isinstance(v, tv_tensors.TVTensor) else v for k, v in tile.items()})
    return {**_joined(parts), "picture": tv_tensors.Image(canvas)}


def mix_up(a: Sample, b: Sample, share: float) -> Sample:
    """Two pictures of one size blended, `share` of them the first (mixup, Zhang et al. 2018), with the
    objects of both."""
    pictures = [s["picture"].as_subclass(Tensor).float() for s in (a, b)]
    blended = torch.lerp(pictures[1], pictures[0], share).round().byte()
    rows = [{k: v for k, v in s.items() if k != "picture"} for s in (a, b)]
    return {**_joined(rows), "picture": tv_tensors.Image(blended)}


def varied(
    settings: VariedSettings, index: int, read: Callable[[int], Sample], count: int, mixed: bool = True
) -> Sample:
    """A sample of picture `index`, varied as the settings say. read: gives the sample of one of `count` pictures;
    mixed: whether mosaic and mix-up are still on. Draws from torch's generator."""
    item = _composed(settings, index, read, count, mixed)
    if mixed and torch.rand(()) < settings.mix_up:
        share = float(torch.distributions.Beta(_BLEND, _BLEND).sample())
        item = mix_up(item, _composed(settings, _below(count), read, count, mixed), share)
    jitter = v2.ColorJitter(settings.colour, settings.colour, settings.colour)
    made: Sample = v2.Compose([Mirror(), jitter])(item)
    return made


def _composed(
    settings: VariedSettings, index: int, read: Callable[[int], Sample], count: int, mixed: bool
) -> Sample:
    size_hw = settings.crop[::-1]
    if mixed and torch.rand(()) < settings.mosaic:
        others = [read(_below(count)) for _ in range(3)]
        return mosaic([read(index), *others], size_hw, settings.mosaic_scale, settings.visible)
    return visible(ScaledCrop(size_hw, settings.scale, settings.ratio)(read(index)), settings.visible)


def _joined(parts: Sequence[Sample]) -> Sample:
    """The rows of all parts, one after the other."""
    return {name: _like(torch.cat([p[name] for p in parts]), parts[0][name]) for name in parts[0]}


def _like(value: Tensor, model: Tensor) -> Tensor:
    """`value` as the kind of tv_tensor that `model` is."""
    if not isinstance(model, tv_tensors.TVTensor):
        return value
    wrapped: Tensor = tv_tensors.wrap(value, like=model)
    return wrapped


def _log_uniform(low: float, high: float) -> float:
    return float(low * (high / low) ** float(torch.rand(())))


def _below(n: int) -> int:
    """A number drawn from 0 to n - 1."""
    return int(torch.randint(n, ()))
