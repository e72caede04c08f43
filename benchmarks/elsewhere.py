"""What segmenters of streets see elsewhere: the car ahead by its LiDAR points, cars and people by masks.

    python benchmarks/elsewhere.py DATA NAME...

DATA: the folder of the development data. For each model: of the LiDAR points on the car ahead in 40 frames of KITTI the
share that is called car; and the IoU of the pixels of cars (buses and trucks count) and of people over the pictures of
COCO's validation data in which there is one of these vehicles.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from vision import Segmenter
from vision.cli.eval.pictures import pictures_of
from vision.data.truth import Truth

VEHICLES = ("car", "bus", "truck")
ABOVE_ROAD_M = 0.35


def on_the_car(segmenter: Segmenter, kitti: Path) -> float:
    calibration = json.loads((kitti / "calib.json").read_text())
    projection, lidar = np.array(calibration["projection_velo_to_pixel"]), np.load(kitti / "lidar_ego_lane.npz")
    called = points = 0
    rows, frames = csv.DictReader((kitti / "distance.csv").open()), sorted((kitti / "frames").iterdir())
    for row, frame, first, last in zip(rows, frames, lidar["start"][:-1], lidar["start"][1:], strict=True):
        place = lidar["points"][first:last, :3]
        x, y, depth = (np.c_[place, np.ones(len(place))] @ projection.T)[:, :3].T
        x, y = x / depth, y / depth
        left, top, right, bottom = (float(row[name]) for name in ("x0", "y0", "x1", "y1"))
        seen = segmenter(cv2.imread(str(frame))).labels
        height, width = seen.shape
        there = (x >= max(left, 0)) & (x < min(right, width)) & (y >= max(top, 0)) & (y < min(bottom, height))
        there &= place[:, 2] > ABOVE_ROAD_M - calibration["lidar_height_m"]
        found = seen[y[there].astype(int), x[there].astype(int)]
        called, points = called + int((found == segmenter.names.index("car")).sum()), points + len(found)
    return called / points


def by_masks(segmenter: Segmenter, file: Path) -> tuple[float, float]:
    truth = json.loads(file.read_text())
    folder, names = pictures_of(file, Truth.load(file)), {one["id"]: one["name"] for one in truth["categories"]}
    shared, either = np.zeros(2), np.zeros(2)
    for picture in truth["images"]:
        things = [one for one in truth["annotations"] if one["image_id"] == picture["id"]]
        if not any(names[one["category_id"]] in VEHICLES for one in things):
            continue
        image = cv2.imread(str(folder / picture["file_name"]))
        seen = segmenter(image).labels
        for k, (own, wanted) in enumerate((("car", VEHICLES), ("pedestrian", ("person",)))):
            mask = np.zeros(image.shape[:2], np.uint8)
            for one in things:
                if names[one["category_id"]] in wanted and not one["iscrowd"]:
                    for part in one["segmentation"]:
                        single = np.zeros_like(mask)             # parts that overlap would cancel out
                        cv2.fillPoly(single, [np.round(np.reshape(part, (-1, 2))).astype(np.int32)], 1)
                        mask |= single
            found = seen == segmenter.names.index(own)
            shared[k] += (found & (mask > 0)).sum()
            either[k] += (found | (mask > 0)).sum()
    cars, people = shared / either
    return float(cars), float(people)


def main() -> None:
    data, *models = map(str, sys.argv[1:])
    for name in models:
        with Segmenter.load(name, precision="fp32", backend="openvino") as segmenter:
            share = on_the_car(segmenter, Path(data) / "driving/kitti")
            cars, people = by_masks(segmenter, Path(data) / "coco_instances/val.json")
        print(f"{name}: {share:.3f} of the points are called car; IoU of cars {cars:.3f}, of people {people:.3f}")


if __name__ == "__main__":
    main()
