"""Drawing twenty masks at 1080p: ours, supervision's (MaskAnnotator, BoxAnnotator, LabelAnnotator), ultralytics'.

    python benchmarks/masks.py [--count 20] [--rounds 15]

In turns, in one process, in milliseconds of wall clock (median). supervision and ultralytics take whole-frame masks
that were made before; ours are made from the grids over their boxes, within the time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import cv2
import numpy as np

from vision import draw
from vision.benchmark.meter import in_turns
from vision.instances import Instances

WIDTH, HEIGHT, GRID = 1920, 1080, 112


def scene(count: int) -> tuple[np.ndarray, Instances]:
    """A noisy picture, and objects of 120 to 420 pixels with round and star-like masks."""
    rng = np.random.default_rng(3)
    image = cv2.resize(rng.integers(0, 256, (27, 48, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    sides = rng.uniform(120, 420, (count, 2))
    corners = rng.uniform(0, 1, (count, 2)) * (np.array([WIDTH, HEIGHT]) - sides)
    y, x = (np.mgrid[:GRID, :GRID] + 0.5) / GRID * 2 - 1
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    edges = [0.8 + 0.2 * np.sin(int(n) * angle) for n in rng.integers(2, 9, count)]
    masks = np.array([1 / (1 + np.exp((radius - edge) * 20)) for edge in edges], np.float32)
    boxes = np.hstack([corners, corners + sides]).astype(np.float32)
    return image, Instances(boxes, np.linspace(0.95, 0.4, count).astype(np.float32), np.arange(count) % 8, masks,
                            frame_wh=(WIDTH, HEIGHT))


def ways(image: np.ndarray, objects: Instances) -> dict[str, Callable[[], object]]:
    """What is timed, by name; peers that are not installed are left out."""
    names = [f"class {i}" for i in range(8)]
    found: dict[str, Callable[[], object]] = {"vision": lambda: draw(objects, image.copy(), names)}
    whole = np.array([objects.paste(i) for i in range(len(objects))])
    try:
        import supervision as sv

        theirs = sv.Detections(objects.boxes, whole, objects.scores, objects.labels)
        parts = (sv.MaskAnnotator(), sv.BoxAnnotator(), sv.LabelAnnotator())
        labels = [f"{names[k]} {score:.2f}" for k, score in zip(objects.labels, objects.scores, strict=True)]

        def supervision() -> object:
            picture = image.copy()
            for part in parts[:2]:
                picture = part.annotate(picture, theirs)
            return parts[2].annotate(picture, theirs, labels)

        found["supervision"] = supervision
    except ImportError:
        pass
    try:
        import torch
        from ultralytics.engine.results import Results

        rows = np.hstack([objects.boxes, objects.scores[:, None], objects.labels[:, None]])
        result = Results(image, "", dict(enumerate(names)), boxes=torch.from_numpy(rows), masks=torch.from_numpy(whole))
        found["ultralytics"] = result.plot
    except ImportError:
        pass
    return found


def main() -> None:
    """Print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    drawing = ways(*scene(options.count))
    turns = in_turns({name: partial(once, run) for name, run in drawing.items()}, options.rounds)
    for name, of in turns.items():
        times = [1000 * one.seconds for one in of]
        print(f"{name:12} {median(times):7.1f} ms (best {min(times):.1f})")


def once(run: Callable[[], object]) -> tuple[int, tuple[float, ...]]:
    """Draw one picture."""
    run()
    return 1, ()


if __name__ == "__main__":
    main()
