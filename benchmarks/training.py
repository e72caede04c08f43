"""What the trainer costs: pictures a second of `vision train segment` against a bare loop of the same
network and loss on tensors in memory.

    python benchmarks/training.py --data ../shared/data/camvid

Both take the same crops of the same pictures, in turns, on one thread count; the bare loop has its
tensors made before. CPU seconds are what is compared: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from vision.train.fit import fit
from vision.train.learner import Objective
from vision.train.optim import optimiser
from vision.train.segment import Segmentation, net_of
from vision.train.segmentation import Augment, Pairs, SegmentationSet, find_pairs
from vision.train.settings import Settings
from vision.zoo import IMAGENET_MEAN, IMAGENET_STD, Card


def first(pairs: Pairs, count: int) -> Pairs:
    return replace(pairs, pictures=pairs.pictures[:count], maps=pairs.maps[:count])


def bare(net: torch.nn.Module, objective: Objective, data: SegmentationSet, settings: Settings) -> float:
    """CPU seconds of one pass, tensors ready."""
    items = [data[(i, i)] for i in range(len(data))]
    batches = [
        tuple(torch.stack(part) for part in zip(*items[i : i + settings.batch], strict=True))
        for i in range(0, len(items), settings.batch)
    ]
    net.train().to(memory_format=torch.channels_last)
    steps = optimiser(net, settings)
    began = time.process_time()
    for batch in batches:
        steps.zero_grad()
        torch.stack(list(objective.loss(net, batch).values())).sum().backward()
        steps.step()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="fcn8s:mobilenet_v2")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    from vision.nets import build

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    pairs = first(find_pairs(options.data, "train"), options.pictures)
    data = SegmentationSet(pairs, Augment((256, 192), (0.1, 0.5)))
    val = SegmentationSet(first(pairs, 1))
    key, config = net_of(options.model, len(pairs.names))
    objective = Segmentation(pairs.names, None, 0.0, IMAGENET_MEAN, IMAGENET_STD)
    settings = Settings(epochs=1, val_every=2, threads=options.threads)
    card = Card(
        name="bench", task="segment", net=key, file="", sha256="", licence="", source="", size_wh=(480, 360),
        resize="stretch", names=pairs.names, config=config,
    )
    torch.set_num_threads(options.threads)
    count, ours, theirs = len(data), [], []
    bare(build(key, **config), objective, data, settings)              # the first pass warms up
    for _ in range(options.rounds):
        theirs.append(bare(build(key, **config), objective, data, settings))
        times: list[float] = []
        for epochs in (1, 2):                                          # the difference: one epoch alone
            with tempfile.TemporaryDirectory() as folder:
                began = time.process_time()
                two = replace(settings, epochs=epochs, val_every=epochs + 1)
                fit(build(key, **config), objective, (data, val), two, Path(folder), card)
                times.append(time.process_time() - began)
        ours.append(times[1] - times[0])
    bare_s, ours_s = min(theirs), min(ours)
    print(f"{options.model}, {count} pictures, batch {settings.batch}, {options.threads} thread(s)")
    print(f"bare loop {count / bare_s:.2f} pictures per CPU second")
    print(f"trainer   {count / ours_s:.2f} pictures per CPU second: {bare_s / ours_s:.3f} of it")


if __name__ == "__main__":
    main()
