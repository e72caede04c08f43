"""What the trainer costs: pictures a second of `vision train segment` or `vision train detect` against a
bare loop of the same network and loss on tensors in memory.

    python benchmarks/training.py --data ../shared/data/camvid
    python benchmarks/training.py --task detect --data ../shared/data/voc2007

Both take the same items of the same pictures, in turns, on one thread count; the bare loop has its
tensors made before. CPU seconds are what is compared: other work on the machine does not count. The
loader's share is what making the items takes, in one process; with `--workers` it lies beside the training.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from vision.card import IMAGENET_MEAN, IMAGENET_STD, Card, Input
from vision.nets import build
from vision.train.detection import CRITERIA, Detection, Recipe, start
from vision.data.detection import read_detection
from vision.train.detection_set import DetectionSet, HeldOutPictures, collate
from vision.train.detection_transforms import Augment as Varied
from vision.train.fit import fit
from vision.train.learner import Objective
from vision.train.optim import optimiser
from vision.train.segment import Segmentation, net_of
from vision.data.segmentation import Pairs, find_pairs
from vision.train.segmentation import Augment, SegmentationSet
from vision.train.settings import Settings


@dataclass
class Case:
    """A task's part of the comparison."""

    make: Callable[[], torch.nn.Module]
    objective: Objective
    train: Any
    val: Any
    settings: Settings
    card: Card
    collate: Callable[..., Any] = default_collate


def segment(data: Path, model: str, count: int) -> Case:
    def first(pairs: Pairs, n: int) -> Pairs:
        return replace(pairs, pictures=pairs.pictures[:n], maps=pairs.maps[:n])

    pairs = first(find_pairs(data, "train"), count)
    key, config = net_of(model, len(pairs.names))
    card = Card(
        name="bench", task="segment", net=key, config=config, file="", licence="", source="",
        input=Input((480, 360), "stretch"), names=pairs.names,
    )
    return Case(
        lambda: build(key, **config), Segmentation(pairs.names, None, 0.0, IMAGENET_MEAN, IMAGENET_STD),
        SegmentationSet(pairs, Augment((256, 192), (0.1, 0.5))), SegmentationSet(first(pairs, 1)),
        Settings(), card,
    )


def detect(data: Path, model: str, count: int) -> Case:
    """With the defaults of `vision train detect`: 320x320, mosaic, moving average, batches of 16."""
    found = read_detection(data, "train")
    found = replace(found, pictures=found.pictures[:count])
    recipe = Recipe(model, (320, 320), Varied((320, 320)))
    held_out = HeldOutPictures(replace(found, pictures=found.pictures[:1]), recipe.size_wh)
    _, card = start(recipe, found.names)
    settings = Settings(batch=16, ema=0.997, clip=10.0)
    return Case(
        lambda: start(recipe, found.names)[0], Detection(CRITERIA[card.net](), card, held_out),
        DetectionSet(found, recipe.augment), held_out, settings, card, collate,
    )


def items(case: Case) -> list[Any]:
    """The batches of one pass."""
    batch, count = case.settings.batch, len(case.train)
    return [
        case.collate([case.train[(i, i)] for i in range(begin, min(begin + batch, count))])
        for begin in range(0, count, batch)
    ]


def bare(case: Case, batches: list[Any]) -> float:
    """CPU seconds of one pass over tensors that are ready."""
    net = case.make().train().to(memory_format=torch.channels_last)
    steps = optimiser(net, case.settings)
    began = time.process_time()
    for batch in batches:
        steps.zero_grad()
        torch.stack(list(case.objective.loss(net, batch).values())).sum().backward()
        steps.step()
    return time.process_time() - began


def trained(case: Case) -> float:
    """CPU seconds of one epoch of the trainer: what the second one adds."""
    times = []
    for epochs in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            settings = replace(case.settings, epochs=epochs, val_every=epochs + 1)
            data = (case.train, case.val)
            fit(case.make(), case.objective, data, settings, Path(folder), case.card, collate=case.collate)
            times.append(time.process_time() - began)
    return times[1] - times[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--task", choices=("segment", "detect"), default="segment")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", help="fcn8s:mobilenet_v2 or gfl unless given")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    make, usual = {"segment": (segment, "fcn8s:mobilenet_v2"), "detect": (detect, "gfl")}[options.task]
    model = options.model or usual
    case = make(options.data, model, options.pictures)
    case.settings = replace(case.settings, threads=options.threads)
    ours, theirs, loading = [], [], []
    bare(case, items(case))                                            # the first pass warms up
    for _ in range(options.rounds):
        began = time.process_time()
        batches = items(case)
        loading.append(time.process_time() - began)
        theirs.append(bare(case, batches))
        ours.append(trained(case))
    count = len(case.train)
    print(f"{model}, {count} pictures, batch {case.settings.batch}, {options.threads} thread(s)")
    print(f"bare loop {count / min(theirs):.2f} pictures per CPU second")
    print(f"trainer   {count / min(ours):.2f} pictures per CPU second: {min(theirs) / min(ours):.3f} of it")
    print(f"loader    {count / min(loading):.2f} pictures per CPU second: {min(loading) / min(ours):.3f} "
          "of the trainer's time")


if __name__ == "__main__":
    main()
