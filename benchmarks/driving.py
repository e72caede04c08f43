"""How good and how fast driving is: distance and time to collision against LiDAR, boards, lanes and the whole at work.

    python benchmarks/driving.py DRIVING --film drive.mp4

DRIVING: a folder with `kitti` (frames, calib.json, distance.csv) and `calibration` (boards of 9x6). A film: any drive.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vision import Detect, Drive, FindLanes, Run, Segment, Track, VideoFile, read
from vision.benchmark.meter import figures, turn
from vision.boxes import iou
from vision.driving.finder import LaneFinder
from vision.geometry import Board, Camera, Mounting, Setup, calibrate, write_setup

LIDAR_BEHIND = 0.27                # metres: the LiDAR sits so far behind the camera
AROUND = 0.5                       # seconds on either side over which LiDAR's speed is fitted


def distances(folder: Path, pitch: float | None) -> None:
    """Distance and time to collision of the lead car against LiDAR."""
    calib = json.loads((folder / "calib.json").read_text())
    p = calib["P_rect_00"]
    lens = Camera((calib["width"], calib["height"]), (p[0][0], p[1][1]), (p[0][2], p[1][2]))
    rows = list(csv.DictReader((folder / "distance.csv").open()))
    seconds, metres = (np.array([float(row[key]) for row in rows]) for key in ("time_s", "distance_p5_m"))
    apart, inside, late = [], [], []
    with tempfile.TemporaryDirectory() as place:
        height = calib["camera_height_m"]
        mounting = None if pitch is None else Mounting(height, pitch)
        write_setup(Path(place) / "camera.toml", Setup(lens, mounting))
        lanes = FindLanes(camera=Path(place) / "camera.toml", height=None if mounting else height)
        with Run(read(folder / "frames", rate=calib["hz"]), [Detect(model="gfl-voc"), Track(), lanes, Drive()]) as run:
            for k, item in enumerate(run):
                found = item["drive"].obstacles
                box = np.array([[float(rows[k][side]) for side in ("x0", "y0", "x1", "y1")]], np.float32)
                n = int(iou(found.boxes, box)[:, 0].argmax())
                true = metres[k] - LIDAR_BEHIND
                value, low, high = found.distances[n].tolist()
                apart.append(abs(value / true - 1))
                inside.append(low <= true <= high)
                near = np.abs(seconds - seconds[k]) <= AROUND + 1e-6
                closing = -np.polyfit(seconds[near], metres[near], 1)[0]
                if closing > 0.5 and np.isfinite(found.times[n, 0]):
                    late.append(abs(found.times[n, 0] / (metres[k] / closing) - 1))
    how = "pitch read off the lanes" if pitch is None else f"pitch {pitch:g}"
    print(f"lead car, {len(apart)} frames, {how}: distance {np.median(apart):.1%} median error, {np.mean(inside):.0%} "
          f"in the 90 % interval; time to collision {np.median(late):.1%} median error ({len(late)} frames)")


def boards(folder: Path) -> None:
    """The lens of the boards."""
    for line in calibrate(read(folder), Board((9, 6))).report:
        print(f"boards: {line}")


def lanes(film: Path) -> None:
    """Frames a second of the classical lines at 640x360, decoding left out."""
    frames = [cv2.resize(frame.image, (640, 360), interpolation=cv2.INTER_AREA) for frame in read(film, max_frames=200)]
    finder = LaneFinder((640, 360))
    finder(frames[0], 0.0)

    def through() -> tuple[int, tuple[float, ...]]:
        for k, image in enumerate(frames[1:], 1):
            finder(image, k / 25)
        return len(frames) - 1, ()

    found = figures([turn(through)])
    print(f"lanes, classical, 640x360: {found.fps:.0f} frames a second; "
          f"{1000 * found.processor_s:.1f} ms of processor time a frame")


def whole(film: Path) -> None:
    """Frames a second of `vision drive` with its video written."""
    plan = [Detect(model="gfl-voc"), Track(), Segment(every=5), FindLanes(), Drive()]
    with tempfile.TemporaryDirectory() as place:
        def through(most: int | None) -> tuple[int, tuple[float, ...]]:
            with Run(read(film, max_frames=most), plan, sinks=[VideoFile(Path(place) / f"{most}.mp4")]) as run:
                return run.finish().written, ()

        through(10)
        one = turn(partial(through, None))
    found = figures([one])
    print(f"vision drive, {one.count} frames with a film written: {found.fps:.1f} frames a second; "
          f"{1000 * found.processor_s:.0f} ms of processor time a frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("driving", type=Path)
    parser.add_argument("--film", type=Path)
    given = parser.parse_args()
    distances(given.driving / "kitti", 0.0)
    distances(given.driving / "kitti", None)
    boards(given.driving / "calibration")
    if given.film is not None:
        lanes(given.film)
        whole(given.film)


if __name__ == "__main__":
    main()
