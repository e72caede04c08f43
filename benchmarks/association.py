"""Association alone: frames a second of our tracker and of its peers, on the same detections.

    python benchmarks/association.py [--objects 30] [--frames 400] [--repeats 3]

Boxes of walkers that cross a 1920x1080 frame at 25 fps, with jitter and 5 % misses; the trackers take
turns frame run by frame run, the best of `--repeats` counts. Needs the extras `bench` and `yolo`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from peers import WITH_IMAGES, roboflow, ultralytics

from vision import Detections, Tracker
from vision.benchmark.meter import in_turns
from vision.tracking import METHODS

RATE = 25.0


def crowd(objects: int, frames: int) -> list[Detections]:
    """`objects` boxes that walk and turn at the edges, as a detector would see them."""
    rng = np.random.default_rng(0)
    height = rng.uniform(80, 240, objects)
    size = np.stack([0.4 * height, height], axis=1)
    centre = rng.uniform([100, 150], [1820, 930], (objects, 2))
    velocity = rng.normal(0, 60, (objects, 2))
    seen = []
    for _ in range(frames):
        centre += velocity / RATE
        velocity[(centre < 50) | (centre > [1870, 1030])] *= -1
        boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        boxes += rng.normal(0, 0.02, boxes.shape) * height[:, None]
        kept = rng.random(objects) > 0.05
        scores = rng.uniform(0.3, 0.95, objects)
        seen.append(Detections(boxes[kept], scores[kept], np.zeros(int(kept.sum()))))
    return seen


def through(
    make: Callable[[], Callable[[Detections, float], object]], frames: list[Detections]
) -> tuple[int, tuple[float, ...]]:
    """A new tracker over all frames."""
    track = make()
    for index, detections in enumerate(frames):
        track(detections, index / RATE)
    return len(frames), ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--objects", type=int, default=30)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    frames = crowd(options.objects, options.frames)

    runs: dict[str, Callable[[], Callable[[Detections, float], object]]] = {
        f"vision {method}": (lambda method=method: Tracker(method)) for method in METHODS
    }
    for package, peers in (("trackers", roboflow()), ("ultralytics", ultralytics())):
        runs |= {f"{package} {name}": partial(make, RATE) for name, make in peers.items() if name not in WITH_IMAGES}
    turns = in_turns({name: partial(through, make, frames) for name, make in runs.items()}, options.repeats, warm=False)
    best = {name: max(one.count / one.seconds for one in of) for name, of in turns.items()}
    ours = best["vision default"]
    print(f"{options.objects} objects a frame, {options.frames} frames, best of {options.repeats}")
    for name, fps in best.items():
        print(f"{name:26s} {fps:8.0f} frames/s {1e6 / fps:8.0f} us a frame   ours {ours / fps:5.1f} x")


if __name__ == "__main__":
    main()
