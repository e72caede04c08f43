"""How fast a run writes MCAP, against an mp4: 60 seconds of 640x480 with ten detections a frame.

    python benchmarks/recording.py [VIDEO]

The pictures are those of VIDEO, or of the film of `vision sample`, made 640x480, in memory, again and again. The
detector costs nothing. Turns alternate; each figure is the best of three. The file is read back: every record and
every stamp is the same.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

from vision import Card, Detect, Detector, FakeEngine, Frame, JsonLines, Mcap, Run, VideoFile, read
from vision.benchmark.meter import in_turns
from vision.card import Input
from vision.io.recording import records
from vision.sample import make_sample
from vision.sinks import SinkSpec

RATE, SECONDS, TURNS = 30, 60, 3
BEGAN = 1_700_000_000_123_456_789


def pictures(video: str) -> list[np.ndarray]:
    """At most 300 pictures of 640x480."""
    with read(video, max_frames=300) as source:
        return [cv2.resize(frame.image, (640, 480)) for frame in source]


def frames(images: list[np.ndarray]) -> Iterator[Frame]:
    """A minute of them, with stamps."""
    for i, image in enumerate(islice(cycle(images), RATE * SECONDS)):
        yield Frame(image, i, i / RATE, "made", BEGAN + i * 33_333_333)


def plan() -> list[Detect]:
    """Ten boxes a frame, at no cost."""
    corner = np.random.default_rng(0).uniform(0, 400, (10, 2))
    boxes = np.concatenate([corner, corner + 60], 1).astype(np.float32)[None]
    card = Card(name="ten", task="detect", file="", licence="", source="", input=Input((32, 32), "stretch"),
                names=("thing",))
    boxes[..., ::2] *= 32 / 640
    boxes[..., 1::2] *= 32 / 480
    return [Detect(model=Detector(FakeEngine(lambda batch: (boxes, np.full((1, 10, 1), 0.9, np.float32))), card),
                   max_iou=1.0)]


def written(images: list[np.ndarray], *sinks: SinkSpec) -> tuple[int, tuple[float, ...]]:
    """A run."""
    with Run(frames(images), plan(), sinks) as run:
        return run.finish().written, ()


def main() -> None:
    """Measure, and compare what was read back."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, "sample.mp4")
        if len(sys.argv) < 2:
            make_sample(film)
        images = pictures(sys.argv[1] if len(sys.argv) > 1 else str(film))
        turns = in_turns({suffix: partial(written, images, VideoFile(Path(folder, f"a.{suffix}")))
                          for suffix in ("mp4", "mcap")}, TURNS, warm=False)
        took = {suffix: [one.seconds for one in of] for suffix, of in turns.items()}
        for suffix, times in took.items():
            rate = RATE * SECONDS / min(times)
            size = Path(folder, f"a.{suffix}").stat().st_size / 1e6
            print(f"{suffix}: {rate:.0f} frames a second, {size:.1f} MB ({', '.join(f'{t:.2f}' for t in times)} s)")
        print(f"of the mp4's rate: {min(took['mp4']) / min(took['mcap']):.2f}")
        written(images, Mcap(Path(folder, "b.mcap")), JsonLines(Path(folder, "b.jsonl")))
        wanted = [json.loads(line) for line in Path(folder, "b.jsonl").read_text().splitlines()]
        began = perf_counter()
        with read(Path(folder, "b.mcap")) as source:
            stamps = [frame.stamp_ns for frame in source]
        print(f"read back: {len(stamps) / (perf_counter() - began):.0f} frames a second; stamps equal: "
              f"{stamps == [one['stamp_ns'] for one in wanted]}; records equal: "
              f"{list(records(Path(folder, 'b.mcap'))) == wanted}, {len(wanted)} of them")


if __name__ == "__main__":
    main()
