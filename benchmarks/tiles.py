"""What `--tiles` finds more, and what it costs: people of sequences in MOT's layout, with and without.

    python benchmarks/tiles.py KITTI-17 --every 5 --model gfl-voc
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from vision import Detector, read
from vision.data.truth import Truth
from vision.metrics.detection import average_precision, coco_rows


def truth_of(folder: Path) -> Truth:
    """The people of a sequence, by the number of the frame from 1."""
    table = np.loadtxt(folder / "gt/gt.txt", delimiter=",", ndmin=2)
    table = table[table[:, 6] == 1]
    boxes = [
        {"id": i, "image_id": int(row[0]), "category_id": 1, "bbox": row[2:6].tolist(), "iscrowd": 0,
         "area": float(row[4] * row[5])}
        for i, row in enumerate(table, start=1)
    ]
    return Truth([{"id": int(n)} for n in np.unique(table[:, 0])], boxes, [{"id": 1, "name": "person"}])


def main() -> None:
    """Print a row for the whole picture alone, and one with windows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    truth = truth_of(options.folder)
    with Detector.load(options.model) as detector:
        category_of = {detector.names.index("person"): 1}
        for tiles in (False, True):
            rows, kept, spent, frames = [], set(), 0.0, 0
            for frame in read(options.folder / "img1", stride=options.every):
                begin = time.process_time()
                found = detector(frame.image, min_score=0.01, max_detections=100, classes=["person"], tiles=tiles)
                spent += time.process_time() - begin
                frames += 1
                kept.add(frame.index + 1)
                rows += coco_rows(frame.index + 1, found, category_of)
            part = Truth([i for i in truth.images if i["id"] in kept],
                         [a for a in truth.annotations if a["image_id"] in kept], truth.categories)
            figures = average_precision(part, rows)
            print(f"{'with windows' if tiles else 'whole alone ':12}  AP {figures.ap:.3f}  AP50 {figures.ap50:.3f}  "
                  f"medium {figures.medium:.3f}  large {figures.large:.3f}  "
                  f"{1000 * spent / frames:.0f} ms of processor a frame ({detector.engine.label})")


if __name__ == "__main__":
    main()
