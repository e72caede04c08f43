"""What the trainer costs: pictures a second of `vision train classify`, `segment` or `detect` against a bare PyTorch
loop with the same network, loss, data and augmentation.

    python benchmarks/training.py --task classify --data cifar10 --model resnet20-32
    python benchmarks/training.py --data ../shared/data/camvid
    python benchmarks/training.py --task detect --data ../shared/data/voc2007

Both draw the same items of the same pictures from a DataLoader, in turns, on one thread count. CPU seconds are what is
compared: other work on the machine does not count. The loader's share is what making the items takes, in one process;
with `--workers` it lies beside the training.
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

from vision.card import Card, Input
from vision.data.detection import read_detection
from vision.data.pictures import read_pictures
from vision.data.segmentation import Pairs, find_pairs
from vision.nets import build
from vision.train.classification import Classification
from vision.train.classification import start as start_classifier
from vision.train.classify import ClassifySettings
from vision.train.detect import DetectSettings
from vision.train.detection import CRITERIA, Detection, start
from vision.train.detection_set import DetectionSet, HeldOutPictures
from vision.train.loading import loaders
from vision.train.optim import optimiser, schedule
from vision.train.picture_set import HeldOutPictures as HeldOutClassified
from vision.train.picture_set import TrainPictures
from vision.train.recipe import Objective, Parts, Recipe, Trained
from vision.train.segment import SegmentSettings
from vision.train.segmentation import Segmentation, SegmentationSet, augmentation
from vision.train.settings import Settings
from vision.train.training import Training


@dataclass
class Case:
    """A task's part of the comparison."""

    make: Callable[[], torch.nn.Module]
    objective: Objective
    train: Any
    val: Any
    settings: Settings


def segment(data: Path, model: str, count: int) -> Case:
    def first(pairs: Pairs, n: int) -> Pairs:
        return replace(pairs, pictures=pairs.pictures[:n], maps=pairs.maps[:n])

    pairs, settings = first(find_pairs(data, "train"), count), SegmentSettings(model=model, batch=8, ema=0.0)
    key, config = settings.network(len(pairs.names))
    card = Card(
        name="bench", task="segment", net=key, config=config, file="", licence="", source="",
        input=Input(settings.size, "stretch"), names=pairs.names,
    )
    return Case(
        lambda: build(key, **config), Segmentation(card, None, 0.0),
        SegmentationSet(pairs, augmentation(settings)), SegmentationSet(first(pairs, 1), None, settings.size), settings,
    )


def detect(data: Path, model: str, count: int) -> Case:
    """With the defaults of `vision train detect`: 320x320, mosaic, moving average, batches of 16."""
    found = read_detection(data, "train")
    found = replace(found, pictures=found.pictures[:count])
    settings = DetectSettings(model=model, closing=0, encoder_weights="none", backbone_lr=1.0)
    _, card = start(settings, found.names)
    held_out = HeldOutPictures(replace(found, pictures=found.pictures[:1]), card.input)
    return Case(
        lambda: start(settings, found.names)[0], Detection(CRITERIA[card.net](), card, held_out),
        DetectionSet(found, settings), held_out, settings,
    )


def classify(data: Path, model: str, count: int) -> Case:
    """A folder per class, with train/ and val/."""
    learned, held = read_pictures(data)
    assert held is not None
    some = learned.part(range(0, len(learned), max(1, len(learned) // count)))
    settings = ClassifySettings(model=model, batch=64, freeze_epochs=0)
    _, card = start_classifier(settings, some.names, "bench", count)
    return Case(
        lambda: start_classifier(settings, some.names, "bench", count)[0], Classification(card, settings),
        TrainPictures(some, card, settings), HeldOutClassified(held.part(range(64)), card, False), settings,
    )


def items(case: Case) -> list[Any]:
    """The batches of one pass."""
    batch, count, made = case.settings.batch, len(case.train), getattr(case.train, "collate", default_collate)
    return [
        made([case.train[(i, i)] for i in range(begin, min(begin + batch, count))])
        for begin in range(0, count, batch)
    ]


def bare(case: Case) -> float:
    """CPU seconds of one pass of what one would write by hand."""
    net = case.make().train().to(memory_format=torch.channels_last)
    steps = optimiser(net, case.settings)
    order, _ = loaders(case.train, case.val, case.settings)
    factor = torch.optim.lr_scheduler.LambdaLR(steps, schedule(case.settings, len(order) * case.settings.epochs))
    kind = torch.bfloat16 if case.settings.precision == "bfloat16" else torch.float32
    times = []
    for epoch in range(2):                                             # the first fills what the data set keeps
        order.sampler.set_epoch(epoch)
        began = time.process_time()
        for batch in order:
            steps.zero_grad()
            with torch.autocast("cpu", kind, enabled=kind != torch.float32):
                loss = torch.stack(list(case.objective.loss(net, batch).values())).sum()
            loss.backward()
            steps.step()
            factor.step()
        times.append(time.process_time() - began)
    return times[1]


def trained(case: Case) -> float:
    """CPU seconds of one epoch of the trainer: half of what two more add."""
    times = []
    for epochs in (1, 3):
        def run(training: Training, told: Any) -> Trained:
            from vision.train.fit import fit

            return fit(Parts(case.make(), case.objective, case.train, case.val), training, told)

        settings = replace(case.settings, epochs=epochs, val_every=epochs)
        recipe = Recipe(type(settings), lambda data, settings: data, run)
        data = next(getattr(case.train, name) for name in ("data", "pairs", "pictures") if hasattr(case.train, name))
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            Training(recipe, (data, data), folder, settings).run()
            times.append(time.process_time() - began)
    return (times[1] - times[0]) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--task", choices=("classify", "segment", "detect"), default="segment")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", help="fcn8s:mobilenet_v2, gfl or resnet20-32 unless given")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    make, usual = {"classify": (classify, "resnet20-32"), "segment": (segment, "fcn8s:mobilenet_v2"),
                   "detect": (detect, "gfl")}[options.task]
    model = options.model or usual
    case = make(options.data, model, options.pictures)
    case.settings = replace(case.settings, threads=options.threads, precision=options.precision)
    ours, theirs, loading = [], [], []
    items(case)                                                        # the first pass warms up
    for _ in range(options.rounds):
        began = time.process_time()
        items(case)
        loading.append(time.process_time() - began)
        theirs.append(bare(case))
        ours.append(trained(case))
    count = len(case.train)
    print(f"{model}, {count} pictures, batch {case.settings.batch}, {options.threads} thread(s)")
    print(f"bare loop {count / min(theirs):.2f} pictures per CPU second")
    print(f"trainer   {count / min(ours):.2f} pictures per CPU second: {min(theirs) / min(ours):.3f} of it")
    print(f"loader    {count / min(loading):.2f} pictures per CPU second: {min(loading) / min(ours):.3f} "
          "of the trainer's time")


if __name__ == "__main__":
    main()
