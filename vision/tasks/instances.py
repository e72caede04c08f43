"""Instance segmentation: a picture in, objects out, each with its own mask."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vision.boxes import iou
from vision.engine import Outputs
from vision.instances import Instances, sampled
from vision.tasks.decoders import Decoder, sigmoid
from vision.tasks.detect import Finder
from vision.tasks.masked import CELLS, MASKED, Candidates
from vision.types import Detections, Floats
from vision.view import View

_FINEST, _COARSEST = 160, 28                     # points a side of a mask's grid
_VOTES, _SAME, _HEARD = 8, 0.7, 0.2              # cells whose masks are averaged: how many, how like, how sure at least
_DECIDES = 0.4                                   # the mean from which on a point is the object's


class InstanceSegmenter(Finder[Instances]):
    """Finds objects in pictures, each with its mask. It is called as a `Detector` is; `max_detections` holds before
    any mask is made."""

    task = "instances"
    decoders: ClassVar[dict[str, Decoder]] = MASKED

    def _result(self, found: Detections, outputs: Outputs, view: View) -> Instances:
        assert isinstance(found, Candidates)
        boxes = view.to_frame(found.boxes)
        seen = view.from_frame(boxes)                              # without what lies outside of the frame
        if self.card.boxes.layout == "mask_rows":
            side = round(found.own.shape[1] ** 0.5)
            masks = found.own.reshape(-1, side, side)
            masks = np.array([_cut(*each) for each in zip(masks, found.boxes, seen, strict=True)] or masks, np.float32)
        else:
            maps = outputs[-1][0]                                # (K,h,w)
            scale = maps.shape[2] / view.pixels.shape[1]
            widest = float(np.ptp(seen.reshape(-1, 2, 2), axis=1).max(initial=0.0)) * scale
            side = int(np.clip(np.ceil(widest), _COARSEST, _FINEST))
            layout = self.card.boxes.layout
            voting = layout in CELLS
            owns = _voters(found, *(output[0] for output in outputs[:3])) if voting else list(found.own[:, None])
            logits_of = _LOGITS.get(layout, _shares)
            probs = [sigmoid(logits_of(own, maps, box * scale, side)).mean(0)
                     for own, box in zip(owns, seen, strict=True)]
            masks = np.array(probs or np.empty((0, side, side)), np.float32)
            if voting:                                           # from _DECIDES on a point is on: its odds say so
                yes, no = masks * (1 - _DECIDES), (1 - masks) * _DECIDES
                masks = np.asarray(yes / (yes + no), np.float32)
        return Instances(boxes, found.scores, found.labels, masks, frame_wh=view.frame_wh)


def _cut(mask: Floats, box: Floats, seen: Floats) -> Floats:
    """A mask (M,M) over a box, over the part of the box that is seen."""
    origin, size = np.tile(box[:2], 2), np.tile(box[2:] - box[:2], 2)
    place = np.asarray((seen - origin) / size * len(mask), np.float32)
    return np.asarray(sampled(mask[None], place, len(mask))[0])


def _around(maps: Floats, box: Floats) -> tuple[Floats, Floats]:
    """What of maps (K,h,w) lies in and just around a box in pixels of theirs, and the box in pixels of that."""
    left, top, right, bottom = (*np.floor(box[:2] - 1).clip(0), *np.ceil(box[2:] + 1))
    return maps[:, int(top): int(bottom), int(left): int(right)], box - np.tile([left, top], 2)


def _shares(own: Floats, maps: Floats, box: Floats, side: int) -> Floats:
    """Logits (V,side,side) of a mask as shares (V,K) of maps (K,h,w), over a box in pixels of theirs: YOLACT (Bolya et
    al. 2019)."""
    part, place = _around(maps, box)
    return sampled(np.tensordot(own, part, 1), place, side)


def _voters(found: Candidates, boxes: Floats, scores: Floats, own: Floats) -> list[Floats]:
    """What the cells (V,K) have of their own that make the mask of each object found: its own cell, and those which see
    nearly the same box, the best by their scores for the object's class.

    boxes (A,4), scores (A,C), own (A,K), of all cells."""
    votes = scores[:, found.labels].T * (iou(found.boxes, boxes) >= _SAME)               # (N,A)
    best = np.argsort(-votes, axis=1, kind="stable")[:, :_VOTES]
    return [own[cells[vote[cells] >= _HEARD * vote[cells].max()]] for cells, vote in zip(best, votes, strict=True)]


def _condinst(own: Floats, maps: Floats, box: Floats, side: int) -> Floats:
    """Logits (V,side,side) of a mask by networks (V,K) on maps (C,h,w), whose coordinates are those of the box
    (`vision.nets.condinst`)."""
    steps = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    return _networks(own, sampled(*_around(maps, box), side), np.stack(np.meshgrid(steps, steps))[None])


def _rtmdet(own: Floats, maps: Floats, box: Floats, side: int) -> Floats:
    """Logits (V,side,side) of a mask by networks (V,K+3) on maps (C,h,w), whose coordinates count from a cell's centre
    in a unit of its own (`vision.nets.rtmdet_ins`)."""
    steps = (np.arange(side) + 0.5) / side
    at = np.stack(np.meshgrid(box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1])))
    from_cells = (at - own[:, -3:-1, None, None]) / own[:, -1:, None, None]
    return _networks(own[:, :-3], sampled(*_around(maps, box), side), np.asarray(from_cells, np.float32))


def _networks(weights: Floats, features: Floats, coordinates: Floats) -> Floats:
    """Logits (V,side,side) by networks (V,K) on features (C,side,side) and coordinates (V or 1,2,side,side)."""
    count, side = len(coordinates), features.shape[-1]
    shared = np.broadcast_to(features, (count, *features.shape))
    values = np.concatenate([shared, coordinates], 1).reshape(count, -1, side * side)
    at, hidden, before = 0, 8, values.shape[1]
    for after in (hidden, hidden, 1):
        kernel = weights[:, at: at + before * after].reshape(-1, after, before)
        at += before * after
        values = kernel @ values                                                         # (V,after,side * side)
        values += weights[:, at: at + after, None]
        at += after
        if after > 1:
            np.maximum(values, 0, out=values)
        before = after
    return values.reshape(-1, side, side)


_LOGITS = {"condinst": _condinst, "rtmdet-ins": _rtmdet}
