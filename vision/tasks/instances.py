"""Instance segmentation: a picture in, objects out, each with its own mask."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vision.boxes import iou
from vision.engine import Outputs
from vision.instances import Instances, sampled
from vision.tasks.decoders import Decoder, sigmoid
from vision.tasks.detect import Finder
from vision.tasks.masked import MASKED, Candidates
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
            condinst = self.card.boxes.layout == "condinst"
            owns = _voters(found, *(output[0] for output in outputs[:3])) if condinst else found.own
            of_own = _condinst if condinst else _shares
            masks = np.array([of_own(own, maps, box * scale, side) for own, box in zip(owns, seen, strict=True)]
                             or np.empty((0, side, side)), np.float32)
        return Instances(boxes, found.scores, found.labels, masks, frame_wh=view.frame_wh)


def _cut(mask: Floats, box: Floats, seen: Floats) -> Floats:
    """A mask (M,M) over a box, over the part of the box that is seen."""
    origin, size = np.tile(box[:2], 2), np.tile(box[2:] - box[:2], 2)
    place = np.asarray((seen - origin) / size * len(mask), np.float32)
    return np.asarray(sampled(mask[None], place, len(mask))[0])


def _shares(own: Floats, maps: Floats, box: Floats, side: int) -> Floats:
    """A mask (side,side) as shares (K,) of maps (K,h,w) over a box in pixels of theirs: YOLACT (Bolya et al. 2019)."""
    left, top, right, bottom = (*np.floor(box[:2] - 1).clip(0), *np.ceil(box[2:] + 1))
    part = maps[:, int(top): int(bottom), int(left): int(right)]
    mixed = np.tensordot(own, part, 1)
    return sigmoid(sampled(mixed[None], box - np.tile([left, top], 2), side)[0])


def _voters(found: Candidates, boxes: Floats, scores: Floats, weights: Floats) -> list[Floats]:
    """The networks (V,K) that make the mask of each object found: its cell's own, and those of the cells which see
    nearly the same box, the best by their scores for the object's class.

    boxes (A,4), scores (A,C), weights (A,K), of all cells."""
    votes = scores[:, found.labels].T * (iou(found.boxes, boxes) >= _SAME)               # (N,A)
    best = np.argsort(-votes, axis=1, kind="stable")[:, :_VOTES]
    return [weights[cells[vote[cells] >= _HEARD * vote[cells].max()]] for cells, vote in zip(best, votes, strict=True)]


def _condinst(own: Floats, maps: Floats, box: Floats, side: int) -> Floats:
    """A mask (side,side), the mean of those by some networks (V,K) on maps (C,h,w) over a box (`vision.nets.condinst`);
    its odds are such that it decides at 0.5."""
    steps = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    across, down = np.meshgrid(steps, steps)
    values = np.concatenate([sampled(maps, box, side), across[None], down[None]]).reshape(len(maps) + 2, -1)
    at, hidden, before = 0, 8, len(values)
    for after in (hidden, hidden, 1):
        kernel = own[:, at: at + before * after].reshape(-1, after, before)
        at += before * after
        values = kernel @ values + own[:, at: at + after, None]                          # (V,after,side * side)
        at += after
        if after > 1:
            values = values.clip(0)
        before = after
    mean = sigmoid(values).mean(0).reshape(side, side)
    yes, no = mean * (1 - _DECIDES), (1 - mean) * _DECIDES
    return np.asarray(yes / (yes + no), np.float32)
