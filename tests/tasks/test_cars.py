"""Cars of two films, labelled by eye before any detector was judged by them: how many are found."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tasks.test_detect import matched
from vision.tasks.detect import Detector

# xyxy in pixels, by frame. Cars of one's own side of the road that are at least 16 pixels wide and 12 high.
DASHCAM = {
    11: [(0, 292, 69, 366), (300, 301, 333, 328), (361, 308, 391, 328), (410, 305, 440, 328), (473, 305, 490, 318)],
    33: [(4, 287, 121, 355), (309, 297, 340, 322), (365, 303, 392, 322), (412, 300, 442, 323), (473, 300, 489, 313)],
    55: [(63, 291, 160, 349), (316, 298, 346, 323), (367, 304, 394, 323), (412, 301, 440, 323), (472, 301, 489, 314)],
    77: [(110, 291, 192, 342), (325, 297, 352, 320), (371, 303, 397, 321), (410, 300, 439, 322), (468, 300, 488, 314)],
    99: [(0, 292, 93, 382), (155, 292, 227, 338), (338, 297, 363, 318), (382, 302, 408, 318), (416, 299, 445, 320),
         (475, 299, 491, 313)],
    122: [(2, 297, 154, 380), (192, 296, 255, 338), (346, 301, 370, 321), (388, 307, 412, 323), (418, 303, 447, 325),
          (475, 302, 492, 318)],
    144: [(0, 301, 58, 364), (66, 299, 195, 372), (222, 299, 277, 336), (353, 301, 375, 321), (391, 307, 415, 322),
          (420, 303, 449, 325), (475, 302, 494, 318)],
    166: [(1, 299, 117, 360), (120, 300, 228, 364), (244, 299, 294, 333), (360, 303, 382, 321), (395, 307, 417, 322),
          (422, 303, 448, 324), (475, 303, 493, 320)],
    188: [(51, 296, 157, 351), (159, 296, 253, 353), (260, 295, 306, 327), (363, 298, 385, 315), (399, 302, 419, 317),
          (420, 299, 448, 320), (474, 303, 492, 315)],
    210: [(95, 299, 187, 347), (188, 299, 273, 350), (276, 298, 318, 327), (373, 300, 394, 315), (407, 304, 423, 318),
          (423, 302, 451, 322), (477, 301, 497, 318)],
}
# seen steeply from above, some of them cut by the frame
ABOVE = {
    63: [(282, 290, 480, 432)], 78: [(269, 95, 442, 368)], 92: [(283, 0, 407, 158)], 107: [],
    196: [(124, 0, 266, 193), (318, 279, 500, 432)], 210: [(73, 117, 248, 432), (311, 97, 471, 365)],
    225: [(309, 0, 437, 152), (72, 358, 228, 432)], 318: [(195, 0, 315, 51)], 332: [(131, 53, 308, 369)],
    347: [(127, 409, 280, 432)],
}
VEHICLES = ("car", "truck", "bus")


def found(
    detector: Detector, film: Path, labelled: dict[int, list[tuple[int, int, int, int]]], tiles: bool = False
) -> tuple[int, int]:
    """Of the labelled cars, how many have a box of a vehicle of their own that overlaps them by 0.5."""
    video, hits = cv2.VideoCapture(str(film)), 0
    for index in range(max(labelled) + 1):
        image = video.read()[1]
        if not labelled.get(index):
            continue
        seen = detector(image, tiles=tiles)
        seen = seen[np.isin(seen.labels, [detector.names.index(name) for name in VEHICLES if name in detector.names])]
        hits += len(matched(labelled[index], seen.boxes, 0.5))
    return hits, sum(map(len, labelled.values()))


@pytest.mark.realdata
@pytest.mark.slow
def test_windows_at_full_resolution_find_three_of_four_cars(data: Path) -> None:
    """A car 20 pixels wide is 9 in the network's input. 25 of 60 are found without windows."""
    with Detector.load(precision="fp32") as detector:
        hits, cars = found(detector, data / "videos" / "dashcam_solidWhiteRight.mp4", DASHCAM, tiles=True)
        without, _ = found(detector, data / "videos" / "dashcam_solidWhiteRight.mp4", DASHCAM)
    assert hits >= 0.72 * cars
    assert 0.4 * cars <= without < hits


@pytest.mark.realdata
@pytest.mark.parametrize(("film", "labelled", "share"), [
    pytest.param("dashcam_solidWhiteRight.mp4", DASHCAM, 0.8, marks=pytest.mark.xfail(
        strict=True, reason="25 of 60: most are 16 to 30 pixels wide, 7 to 13 in the network's input"), id="dashcam"),
    pytest.param("car-detection.mp4", ABOVE, 0.7, marks=pytest.mark.xfail(
        strict=True, reason="none of 12: the default has not learned cars from above; gfl-voc finds 6"), id="above"),
])
def test_the_default_finds_the_cars(film: str, labelled: dict[int, list[tuple[int, int, int, int]]], share: float,
                                    data: Path) -> None:
    with Detector.load(precision="fp32") as detector:
        hits, cars = found(detector, data / "videos" / film, labelled)
    assert hits >= share * cars
