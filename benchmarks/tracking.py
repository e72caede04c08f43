"""HOTA, IDF1, MOTA and id switches of our trackers and of their peers, on the same detections.

    python benchmarks/tracking.py ../shared/data/mot/TUD-Campus ../shared/data/mot/KITTI-17

Every tracker gets the detections of `det/det.txt` with scores in 0..1 (`mot.as_probabilities`) and runs
with its own defaults; the peers are told the frame rate and the time where they ask for it, and those that read
frames run where there are some (`img1`). `--stride n` keeps every n-th frame and averages over the n ways to begin;
`--mean` gives one table, the mean over the folders (`worlds.py` makes such folders). Scored by trackeval.
Needs the extras `track-eval`, `bench` and `yolo`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from peers import WITH_IMAGES, Ids, Track, roboflow, ultralytics

import vision
from vision import Detections, Frame, Tracker, Tracks
from vision.io import Info
from vision.metrics.tracking import TrackScores, evaluate
from vision.tracking import METHODS
from vision.tracking.camera import CameraMotion
from vision.tracking.looks import Appearance
from vision.tracking.mot import Sequence, read_truth, write_rows
from vision.types import Image
from vision.zoo import CARDS


def ours(method: str, camera: bool = False) -> Track:
    tracker, motion = Tracker(method), CameraMotion() if camera else None

    def track(detections: Detections, time: float, image: Image | None = None) -> Ids:
        boxes = detections.everything.boxes
        tracks = tracker(detections, time, camera=motion(image, boxes) if motion and image is not None else None)
        return tracks.ids, tracks.boxes

    return track


def looked(model: Appearance) -> Track:
    """As `vision track --looks` does it."""
    step = vision.Track().open(Info("sequence", "video"), model)

    def track(detections: Detections, time: float, image: Image) -> Ids:
        tracks = step.begin(Frame(image, 0, time), {"detect": detections})()
        assert isinstance(tracks, Tracks)
        return tracks.ids, tracks.boxes

    return track


def score(
    sequence: Sequence, make: Callable[[float], Track], images: bool, stride: int, first: int, folder: Path
) -> TrackScores:
    """One tracker on every `stride`-th frame of a sequence from `first` on."""
    track, rows = make(sequence.rate / stride), []
    frames = list(enumerate(sequence.detections()))[first::stride]
    for number, (index, (time, detections)) in enumerate(frames, 1):
        image = cv2.imread(str(sequence.folder / "img1" / f"{index + 1:06d}.jpg")) if images else None
        for i, (left, top, right, bottom) in zip(*track(detections, time, image), strict=True):
            rows.append([number, i, left, top, right - left, bottom - top, 1])
    truth, classes = read_truth(sequence.folder / "gt" / "gt.txt")
    kept = ((truth[:, 0] - 1 - first) % stride == 0) & (truth[:, 0] > first)
    truth, classes = truth[kept], None if classes is None else classes[kept]
    truth[:, 0] = (truth[:, 0] - 1 - first) // stride + 1
    gt, result = folder / "gt.txt", folder / "result.txt"
    write_rows(gt, truth, classes)
    write_rows(result, np.array(rows).reshape(-1, 7))
    return evaluate({sequence.name: gt}, {sequence.name: result}, {sequence.name: len(frames)})[sequence.name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="MOT_FOLDER")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--mean", action="store_true")
    parser.add_argument("--looks", type=Path, metavar="ONNX", help="the file of `vision weights pull person-reid`")
    options = parser.parse_args()
    sequences = [Sequence.read(folder) for folder in options.folders]
    makers: dict[str, Callable[[float], Track]] = {
        f"vision {method}": (lambda rate, method=method: ours(method)) for method in METHODS
    }
    makers |= {f"trackers {name}": make for name, make in roboflow().items()}
    makers |= {f"ultralytics {name}": make for name, make in ultralytics().items()}
    makers["vision default, camera motion"] = lambda rate: ours("default", camera=True)
    if options.looks:
        looks = Appearance.load(replace(CARDS["person-reid"], file=str(options.looks.absolute()), url=None))
        makers["vision default, looks"] = lambda rate: looked(looks)
    together: dict[str, list[np.ndarray]] = {name: [] for name in makers}
    for sequence in sequences:
        table = {}
        for name, make in makers.items():
            images = name.split()[-1] in WITH_IMAGES
            if images and not (sequence.folder / "img1").is_dir():
                continue
            with TemporaryDirectory() as folder:
                runs = [score(sequence, make, images, options.stride, first, Path(folder))
                        for first in range(options.stride)]
            table[name] = np.mean([(100 * run.hota, 100 * run.det_a, 100 * run.ass_a, 100 * run.mota,
                                    100 * run.idf1, run.switches) for run in runs], axis=0)
            together[name].append(table[name])
        if not options.mean:
            show(f"{sequence.name}, {sequence.rate / options.stride:.3g} frames a second", table)
    if options.mean:
        everywhere = {name: np.mean(rows, axis=0) for name, rows in together.items()
                      if len(rows) == len(sequences)}
        show(f"mean of {len(sequences)} sequences, every {options.stride}. frame", everywhere)


def show(title: str, table: dict[str, np.ndarray]) -> None:
    print(f"\n{title}\n{'':29s}   HOTA   DetA   AssA   MOTA   IDF1   IDSW")
    for name, row in table.items():
        print(f"{name:29s} " + " ".join(f"{value:6.1f}" for value in row))


if __name__ == "__main__":
    main()
