"""Followers of one object: success and precision curves, and frames a second.

    python benchmarks/follow.py ../shared/data/mot/TUD-Campus ../shared/data/mot/KITTI-17 -o curves.png

Each person's longest stretch in which others cover less than a third of the box is one sequence: a
follower gets its first box and runs to its last. These are walkers, some 15 pixels wide and at 10 frames
a second; it is not OTB. Speed: frames per second of CPU time, in these sequences and at 640x480.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import process_time

import cv2
import numpy as np
from following import curves, mean, plot

from vision.boxes import xywh_to_xyxy
from vision.tracking import FOLLOWERS
from vision.tracking.mot import Sequence, read_rows


def covered(box: np.ndarray, others: np.ndarray) -> float:
    """Share of a box that the boxes of those who stand nearer (their feet are lower) lie over."""
    left, top, right, bottom = np.rint(box).astype(int)
    mask = np.zeros((max(1, bottom - top), max(1, right - left)), bool)
    for x1, y1, x2, y2 in np.rint(others[others[:, 3] > box[3]]).astype(int):
        mask[max(0, y1 - top) : max(0, y2 - top), max(0, x1 - left) : max(0, x2 - left)] = True
    return float(mask.mean())


def people(sequence: Sequence, least: int = 25) -> list[tuple[int, np.ndarray]]:
    """(first frame, (T,4) xyxy): the longest stretch of each person in which others cover less than a
    third of the box, where it has `least` frames."""
    rows = read_rows(sequence.folder / "gt" / "gt.txt")
    boxes = np.clip(xywh_to_xyxy(rows[:, 2:6]), 0, [*sequence.size_wh, *sequence.size_wh])
    found = []
    for person in np.unique(rows[rows[:, 6] != 0, 1]):
        own = np.flatnonzero(rows[:, 1] == person)
        own = own[np.argsort(rows[own, 0])]
        others = [boxes[(rows[:, 0] == rows[i, 0]) & (rows[:, 1] != person)] for i in own]
        own = own[[covered(boxes[i], near) < 1 / 3 for i, near in zip(own, others, strict=True)]]
        stretches = np.split(own, np.flatnonzero(np.diff(rows[own, 0]) != 1) + 1)
        longest = max(stretches, key=len)
        if len(longest) >= least:
            found.append((int(rows[longest[0], 0]) - 1, boxes[longest]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="MOT_FOLDER")
    parser.add_argument("-o", "--output", type=Path, help="the curves as a PNG")
    options = parser.parse_args()
    results: dict[str, list] = {name: [] for name in FOLLOWERS}
    seconds, frames = dict.fromkeys(FOLLOWERS, 0.0), 0
    lost = dict.fromkeys(FOLLOWERS, 0)
    for folder in options.folders:
        sequence = Sequence.read(folder)
        images = [cv2.imread(str(path)) for path in sorted((folder / "img1").glob("*.jpg"))]
        for first, truth in people(sequence):
            frames += len(truth) - 1
            for name, kind in FOLLOWERS.items():
                follower = kind(images[first], truth[0], first / sequence.rate)
                boxes = [truth[0]]
                for n in range(1, len(truth)):
                    start = process_time()
                    target = follower(images[first + n], (first + n) / sequence.rate)
                    seconds[name] += process_time() - start
                    boxes.append(np.full(4, np.nan) if target.lost else target.box)
                    lost[name] += target.lost
                results[name].append(curves(np.array(boxes), truth))
    small = [cv2.resize(images[n], (640, 480)) for n in range(60)]
    print(f"{len(results['ivt'])} people, {frames} frames")
    print(f"{'':8s}  success  precision@20  lost  frames/s  at 640x480")
    for name, kind in FOLLOWERS.items():
        follower = kind(small[0], np.array([300, 160, 360, 320]), 0.0)
        start = process_time()
        for n, image in enumerate(small[1:], 1):
            follower(image, n / 30)
        fast = (len(small) - 1) / (process_time() - start)
        together = mean(results[name])
        print(f"{name:8s}  {together.area:7.3f}  {together.at_20_pixels:12.3f}  {lost[name] / frames:4.0%}"
              f"  {frames / seconds[name]:8.0f}  {fast:10.0f}")
    if options.output:
        plot({name: mean(each) for name, each in results.items()}, options.output)


if __name__ == "__main__":
    main()
