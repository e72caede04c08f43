"""What heads for masks cost: the network, and the masks of 20 and of 300 objects after it.

    python benchmarks/mask_heads.py PICTURE MODEL [MODEL ...] [--precision bf16] [--rounds 20]

MODEL is a name of `vision models` or a file of `vision train instances`. The objects are the best that a picture has
after the card's suppression, whatever their scores. In turns, in one process, the lowest of the rounds in milliseconds
of processor time; with `taskset -c 0` on one core. The table is printed in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import cv2

from vision.benchmark.meter import in_turns
from vision.engine.program import state_dict
from vision.tasks.detect import Detector, input_view, suppressed
from vision.tasks.instances import InstanceSegmenter
from vision.weights import resolve

COUNTS = (20, 300)


def once(part: Callable[[], object]) -> tuple[int, tuple[float, ...]]:
    """A turn."""
    part()
    return 1, ()


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--rounds", type=int, default=20)
    told = parser.parse_args()
    image = cv2.imread(told.picture)
    detector = Detector.load("nanodet-g", "cpu", told.precision)
    view = input_view(image, detector.card.input, detector.engine.input_wh)
    parts: dict[str, Callable[[], object]] = {"alone": partial(detector.engine, view.pixels[None])}
    rows = {}
    for name in told.models:
        model = InstanceSegmenter.load(name, "cpu", told.precision)
        outputs = model.engine(view.pixels[None])
        found = model._decode(outputs, 0, 0.0, (view.pixels.shape[1], view.pixels.shape[0]))
        found = suppressed(found, model.card.boxes.max_iou, False)
        head = sum(v.numel() for n, v in state_dict(resolve(model.card)).items() if n.startswith("masks."))
        rows[name] = f"| {name} | {model.card.boxes.layout} | {head / 1e6:.2f} M "
        parts[name] = partial(model.engine, view.pixels[None])
        parts |= {f"{name} {count}": partial(model._result, found[:count], outputs, view) for count in COUNTS}
    turns = in_turns({name: partial(once, part) for name, part in parts.items()}, told.rounds)
    taken = {name: 1000 * min(one.busy_s for one in of) for name, of in turns.items()}
    print(f"the detector alone: {taken['alone']:.1f} ms, a picture of {view.pixels.shape[1]}x{view.pixels.shape[0]}")
    print(f"| model | head | its parameters | network ms | {' | '.join(f'{n} masks ms' for n in COUNTS)} |")
    print("|---|---|---|---|" + "---|" * len(COUNTS))
    for name, row in rows.items():
        cells = [taken[key] for key in (name, *(f"{name} {count}" for count in COUNTS))]
        print(f"{row}| {' | '.join(f'{ms:.1f}' for ms in cells)} |")


if __name__ == "__main__":
    main()
