"""R-CNN as published: features of every proposal, one linear SVM a class with hard negative mining, and a ridge
regression of the boxes. Only the network's features come from gradients; they are ImageNet's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from vision.boxes import iou
from vision.card import Card, Input
from vision.data.detection import DetectionData, Labelled
from vision.files import write_whole
from vision.metrics.detection import average_precision, coco_rows
from vision.nets.deploy import Deploy
from vision.nets.rcnn import RCNN
from vision.proposals.kept import kept_proposals
from vision.tasks.detect import in_frame, input_view, suppressed
from vision.tasks.proposed import fast_bfloat16, judged
from vision.train.detection import start
from vision.train.detection_set import Pictures
from vision.train.fit import save_weights
from vision.train.recipe import Progress, Told, Trained
from vision.train.regions import Rows, fit_boxes, fit_svms
from vision.types import Detections, Floats, Image

if TYPE_CHECKING:
    from vision.train.detect import DetectSettings
    from vision.train.training import Training

LENGTH = 20.0                            # of a feature vector, on average: as published
FEATURES_FOLDER = "features"
_NEAR = 0.5                              # from this IoU a proposal is kept for the boxes, wherever it stands
_MIN_SCORE, _MOST = 0.01, 100


def train_rcnn(training: Training, told: Told) -> Trained:
    """Describe the proposals of all pictures, fit SVMs and boxes, and measure on the held-out part.

    Features are kept in the run's folder, so that a killed run goes on with the next picture.
    """
    settings: DetectSettings = training.settings
    net, card = start(settings, training.names)
    assert isinstance(net, RCNN)
    card = replace(card, name=training.folder.name, source=f"trained on {training.source}")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    deploy = Deploy(net, card.input.mean, card.input.std).eval()
    net.encoder.to(memory_format=torch.channels_last)
    say = partial(_say, told, perf_counter())
    rows = _described(training, deploy, card.input, lambda share: say(0.7 * share))
    scale = LENGTH / float(np.linalg.norm(rows.features[:20_000].astype(np.float32), axis=1).mean())
    judges = fit_svms(rows, scale, settings.seed, lambda share: say(0.7 + 0.15 * share))
    movers = fit_boxes(rows, scale)
    with torch.no_grad():
        net.scale.fill_(scale)
        for layer, (weights, biases) in ((net.svm, judges), (net.regress, movers)):
            layer.weight.copy_(torch.from_numpy(weights))
            layer.bias.copy_(torch.from_numpy(biases))
    figures = _measured(deploy, card, training.data[1], lambda share: say(0.85 + 0.15 * share))
    notes = {"settings": training.facts, "figures": figures, "head": "linear SVMs"}
    save_weights(training.folder / "best.safetensors", net, card, notes)
    line = {"epoch": 1, **{f"val/{name}": value if np.isfinite(value) else None for name, value in figures.items()}}
    write_whole(training.folder / "curve.jsonl", (json.dumps(line) + "\n").encode())
    say(1.0, figures=figures)
    return Trained(training.folder / "best.safetensors", figures, 1, {"ap": "AP", "ap50": "AP50"})


def _say(told: Told, began: float, share: float, figures: dict[str, float] | None = None) -> None:
    words = {} if figures is None else {"AP": figures["ap"], "AP50": figures["ap50"]}
    told(Progress(1, 1, share, float("nan"), words, perf_counter() - began, figures is not None))


def _described(training: Training, deploy: Deploy, wanted: Input, said: Callable[[float], None]) -> Rows:
    """What is learned from of all pictures, from the run's folder where it is there already."""
    data: DetectionData = training.data[0]
    folder, pictures = training.folder / FEATURES_FOLDER, Pictures(data)
    folder.mkdir(exist_ok=True)
    parts = []
    for i, labelled in enumerate(data.pictures):
        path = folder / f"{i:06d}.npz"
        if not path.is_file():
            image = pictures.read(i)
            if image is None:
                continue
            view = input_view(image, wanted)
            scaled = replace(labelled, boxes=labelled.boxes * np.array(view.scale * 2, np.float32))
            part = of_picture(deploy, scaled, len(data.names), view.pixels, training.settings)
            unfinished = path.with_name("unfinished.npz")
            np.savez(unfinished, **part._asdict())
            unfinished.replace(path)
        with np.load(path) as file:
            parts.append(Rows(**{name: file[name] for name in Rows._fields}))
        said((i + 1) / len(data))
    return Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def of_picture(deploy: Deploy, labelled: Labelled, classes: int, image: Image, settings: DetectSettings) -> Rows:
    """What R-CNN learns from of one picture (H,W,3) uint8 BGR: its objects, then the first proposals and those after
    them that overlap an object by half or more."""
    keep = ~labelled.crowd
    objects, labels = labelled.boxes[keep], labelled.labels[keep]
    proposals = kept_proposals(image)
    wanted = np.arange(len(proposals)) < (settings.background or settings.proposals)
    wanted |= iou(proposals, objects).max(1, initial=0) >= _NEAR
    boxes = np.concatenate([objects, proposals[wanted]])
    overlap = iou(boxes, objects)
    of_class = np.zeros((len(boxes), classes), np.float32)
    for column, label in enumerate(labels):
        of_class[:, label] = np.maximum(of_class[:, label], overlap[:, column])
    own = overlap.argmax(1) if len(objects) else np.zeros(len(boxes), np.int64)
    return Rows(
        describe(deploy, image, boxes), of_class, boxes, objects[own] if len(objects) else boxes,
        labels[own] if len(objects) else np.full(len(boxes), -1))


def describe(deploy: Deploy, image: Image, boxes: Floats) -> npt.NDArray[np.float16]:
    """The features (N,D) of boxes (N,4) xyxy of a picture (H,W,3) uint8 BGR, not scaled yet."""
    net = deploy.net
    assert isinstance(net, RCNN)
    rgb = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).flip(0)[None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
        found = net.features(deploy.normalise(rgb), torch.from_numpy(np.asarray(boxes, np.float32)))
    return np.asarray(found.numpy(), np.float16)


def _measured(deploy: Deploy, card: Card, data: DetectionData, said: Callable[[float], None]) -> dict[str, float]:
    """The figures on what is held out."""
    pictures, rows, unread = Pictures(data), list[dict[str, Any]](), []
    kind = torch.bfloat16 if fast_bfloat16() else torch.float32
    category_of = {label: label for label in range(len(card.classes))}
    for i in range(len(data)):
        image = pictures.read(i)
        if image is None:
            unread.append(i)
            continue
        view = input_view(image, card.input)
        proposals = kept_proposals(view.pixels, most=card.boxes.proposals)
        found = Detections(*(out[0] for out in judged(deploy, view.pixels, proposals, kind)))
        found = suppressed(found[found.scores >= _MIN_SCORE], card.boxes.max_iou, False)[:_MOST]
        rows += coco_rows(i, in_frame(found, view), category_of)
        said((i + 1) / len(data))
    now = average_precision(data.truth(without=unread), rows)
    return {"ap": now.ap, "ap50": now.ap50, "ap75": now.ap75,
            **{f"ap50_{name}": ap50 for name, (_, ap50) in now.classes.items()}}
