"""The detector: every decoder against a brute-force twin, options, threads, and two photographs."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.boxes import iou
from vision.card import Boxes, Input
from vision.engine import FakeEngine
from vision.errors import ModelError, UsageError
from vision.tasks.detect import Detector
from vision.types import Detections
from vision.zoo import CARDS

NAMES = ("person", "car", "dog")
CARD = replace(
    CARDS["gfl-voc"], name="fake", names=NAMES, input=Input((64, 64), "stretch"), min_score=0.5
)
IMAGE = np.zeros((64, 64, 3), np.uint8)
RNG = np.random.default_rng(3)


def random_boxes(n: int) -> np.ndarray:
    corner = RNG.uniform(0, 40, (2, n, 2))
    return np.concatenate([corner, corner + RNG.uniform(2, 20, (2, n, 2))], axis=2).astype(np.float32)


def as_set(found: Detections) -> set[tuple[object, ...]]:
    return {
        (label, round(score, 5), *(round(v, 2) for v in box))
        for box, score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        )
    }


def dense() -> tuple[tuple[np.ndarray, ...], list[list[tuple[object, ...]]]]:
    boxes, scores = random_boxes(30), RNG.uniform(0, 1, (2, 30, 3)).astype(np.float32)
    rows = [
        [(c, scores[i, a, c], *boxes[i, a]) for a in range(30) for c in range(3)] for i in range(2)
    ]
    return (boxes, scores), rows


def table_of_rows() -> tuple[tuple[np.ndarray, ...], list[list[tuple[object, ...]]]]:
    boxes, scores, labels = random_boxes(30), RNG.uniform(0, 1, (2, 30)), RNG.integers(0, 3, (2, 30))
    rows = [[(labels[i, r], scores[i, r], *boxes[i, r]) for r in range(30)] for i in range(2)]
    return (boxes, scores.astype(np.float32), labels), rows


def yolo() -> tuple[tuple[np.ndarray, ...], list[list[tuple[object, ...]]]]:
    boxes, scores = random_boxes(30), RNG.uniform(0, 1, (2, 3, 30)).astype(np.float32)
    centres = np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=2)
    rows = []
    for i in range(2):
        best = [max(range(3), key=lambda c: scores[i, c, a]) for a in range(30)]
        rows.append([(best[a], scores[i, best[a], a], *boxes[i, a]) for a in range(30)])
    return (np.concatenate([centres.transpose(0, 2, 1), scores], axis=1).astype(np.float32),), rows


def yolo_rows() -> tuple[tuple[np.ndarray, ...], list[list[tuple[object, ...]]]]:
    (boxes, scores, labels), rows = table_of_rows()
    return (np.concatenate([boxes, scores[..., None], labels[..., None]], axis=2).astype(np.float32),), rows


@pytest.mark.parametrize(("layout", "make"), [
    ("dense", dense), ("rows", table_of_rows), ("yolo", yolo), ("yolo_rows", yolo_rows),
])
def test_a_decoder_finds_what_a_loop_finds(layout: str, make: object) -> None:
    outputs, rows = make()
    for i in range(2):
        picture = tuple(output[i : i + 1] for output in outputs)
        detector = Detector(FakeEngine(lambda batch, picture=picture: picture), replace(CARD, boxes=Boxes(layout, 1.0)))
        for threshold in (0.0, 0.3, 0.9, 1.0):
            found = detector(IMAGE, min_score=threshold)
            expected = {
                (int(c), round(float(s), 4), *(round(float(v), 2) for v in box))
                for c, s, *box in rows[i] if s >= np.float32(threshold)
            }
            assert as_set(found) == expected
            assert (np.diff(found.scores) <= 0).all()                          # best first


def two_overlapping(scores: tuple[float, float] = (0.9, 0.8)) -> FakeEngine:
    """A person and a car at almost the same place, and a dog elsewhere."""
    boxes = np.float32([[[10, 10, 30, 30], [10, 10, 30, 31], [40, 40, 60, 60]]])
    table = np.zeros((1, 3, 3), np.float32)
    table[0, [0, 1, 2], [0, 1, 2]] = [*scores, 0.6]
    return FakeEngine(lambda batch: (boxes.repeat(len(batch), 0), table.repeat(len(batch), 0)))


def test_options_are_arguments_of_the_call() -> None:
    detector = Detector(two_overlapping(), CARD)
    assert detector(IMAGE).labels.tolist() == [0, 1, 2]
    assert detector(IMAGE, min_score=0.7).labels.tolist() == [0, 1]
    assert detector(IMAGE, agnostic=True).labels.tolist() == [0, 2]
    assert detector(IMAGE, agnostic=True, max_iou=0.99).labels.tolist() == [0, 1, 2]
    assert detector(IMAGE, max_detections=1).labels.tolist() == [0]
    assert detector(IMAGE, classes=["dog", "car"]).labels.tolist() == [1, 2]
    assert detector(IMAGE, classes=[]).labels.tolist() == []
    # a class that is not asked for suppresses nothing
    assert detector(IMAGE, classes=["car"], agnostic=True).labels.tolist() == [1]


@pytest.mark.parametrize(("options", "message"), [
    ({"classes": ["persn"]}, "'fake' has no class 'persn'. Nearest: person"),
    ({"min_score": 1.5}, "min_score and max_iou lie in 0..1; got 1.5 and 0.5"),
    ({"max_iou": -0.1}, "lie in 0..1; got 0.5 and -0.1"),
    ({"max_detections": 0}, "max_detections must be at least 1; got 0"),
])
def test_an_option_that_cannot_be_is_told_before_anything_runs(options: dict, message: str) -> None:
    calls: list[int] = []
    detector = Detector(FakeEngine(lambda batch: calls.append(1)), CARD)
    with pytest.raises(UsageError, match=message):
        detector.submit([IMAGE], **options)
    assert not calls


def test_pictures_of_different_sizes_come_back_in_order() -> None:
    shapes: list[tuple[int, ...]] = []

    def echo(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        """One box a picture, whose score tells the picture's grey level."""
        shapes.append(batch.shape)
        h, w = batch.shape[1:3]
        boxes = np.tile(np.float32([0, 0, w, h]), (len(batch), 1, 1))
        return boxes, batch[:, h // 2, w // 2, 0].astype(np.float32).reshape(-1, 1, 1) / 255

    card = replace(CARD, names=("thing",), input=Input((128, 128), "letterbox"), min_score=0.0)
    pictures = [np.full((h, w, 3), 10 * k, np.uint8) for k, (w, h) in enumerate(
        [(128, 96), (96, 128), (128, 96), (256, 192), (128, 128)], start=1)]
    found = Detector(FakeEngine(echo), card).batch(pictures)
    assert [round(float(f.scores[0]) * 255) for f in found] == [10, 20, 30, 40, 50]
    for picture, result in zip(pictures, found, strict=True):
        h, w = picture.shape[:2]
        np.testing.assert_allclose(result.boxes, [[0, 0, w, h]], atol=1e-3)
    upright, lying, square = (1, 128, 96, 3), (1, 96, 128, 3), (1, 128, 128, 3)
    assert shapes == [lying, upright, lying, lying, square]      # the engine makes the batches
    assert Detector(FakeEngine(echo), card).batch([]) == []


def test_a_letterbox_follows_the_engine_and_the_pictures_way_up() -> None:
    seen: list[tuple[int, ...]] = []

    def nothing(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(batch.shape[1:3])
        return np.zeros((1, 0, 4), np.float32), np.zeros((1, 0, 3), np.float32)

    lying, upright = np.zeros((1080, 1920, 3), np.uint8), np.zeros((1920, 1080, 3), np.uint8)
    card = replace(CARD, input=Input((1333, 800), "letterbox"))
    for engine in (FakeEngine(nothing), FakeEngine(nothing, input_wh=(640, 480))):
        detector = Detector(engine, card)
        detector(lying)
        detector(upright)
    assert seen == [(768, 1344), (1344, 768), (480, 640), (480, 640)]


def test_small_pictures_stay_as_large_as_they_are_where_the_card_says_so() -> None:
    seen: list[tuple[int, ...]] = []

    def corner(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(batch.shape[1:3])
        inside = np.argwhere(batch[0, ..., 0] == 7)          # where the picture lies on the canvas
        (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
        return np.float32([[[left, top, right, bottom]]]), np.float32([[[0.9, 0, 0]]])

    card = replace(CARD, input=Input((512, 384), "letterbox", enlarge=False))
    for w, h in ((352, 250), (250, 352), (600, 300), (400, 390)):
        found = Detector(FakeEngine(corner), card)(np.full((h, w, 3), 7, np.uint8))
        np.testing.assert_allclose(found.boxes, [[0, 0, w, h]], atol=1e-3)
    assert seen == [(256, 352), (352, 256), (256, 512), (384, 416)]


def test_boxes_come_back_in_frame_pixels_cut_to_the_frame() -> None:
    boxes = np.float32([[[-5, 8, 32, 70]]])
    engine = FakeEngine(lambda batch: (boxes, np.float32([[[0.9, 0, 0]]])))
    found = Detector(engine, CARD)(np.zeros((480, 640, 3), np.uint8))
    np.testing.assert_allclose(found.boxes, [[0, 60, 320, 480]])              # 64 pixels are 640 x 480


def test_an_error_of_the_engine_reaches_who_waits() -> None:
    def broken(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        raise RuntimeError("the device is gone")

    wait = Detector(FakeEngine(broken), CARD).submit([IMAGE])
    with pytest.raises(RuntimeError, match="the device is gone"):
        wait()


def test_outputs_that_nobody_decodes_are_refused() -> None:
    with pytest.raises(ModelError, match=r"outputs 'heat'; Detector decodes dense, rows, yolo, yolo_rows"):
        Detector(two_overlapping(), replace(CARD, boxes=Boxes("heat")))


def test_two_threads_with_different_options_each_get_their_own() -> None:
    detector = Detector(two_overlapping(), CARD)
    options: list[dict] = [
        {"min_score": 0.85}, {"classes": ["dog"]}, {"agnostic": True}, {"max_detections": 2},
    ]
    expected = [[0], [2], [0, 2], [0, 1]]
    wrong: list[object] = []

    def work(k: int) -> None:
        for _ in range(300):
            labels = detector(IMAGE, **options[k]).labels.tolist()
            if labels != expected[k]:
                wrong.append((k, labels))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_detector_may_be_called_inside_its_own_loop() -> None:
    detector = Detector(two_overlapping(), CARD)
    outer = detector.submit([IMAGE, IMAGE])
    inner = [detector(IMAGE, classes=[NAMES[int(one.labels[0])]]).labels.tolist() for one in detector(IMAGE)]
    assert inner == [[0], [1], [2]]
    assert [len(found) for found in outer()] == [3, 3]


# Boxes looked at on the pictures: (label, box, at least this overlap)
PHOTOS = {
    "bus": [
        ("person", (221, 404, 345, 858), 0.7), ("person", (50, 398, 245, 903), 0.9),
        ("person", (669, 390, 810, 880), 0.8), ("bus", (10, 230, 805, 750), 0.7),
    ],
    "zidane": [("person", (745, 41, 1151, 714), 0.9), ("person", (146, 202, 1100, 714), 0.35)],
}


@pytest.fixture(scope="module")
def shipped() -> Detector:
    return Detector.load(precision="fp32")


@pytest.mark.parametrize("photo", list(PHOTOS))
def test_the_shipped_detector_finds_the_people_and_the_bus(
    shipped: Detector, photos: dict[str, Path], photo: str
) -> None:
    found = shipped(cv2.imread(str(photos[photo])))
    for name, box, overlap in PHOTOS[photo]:
        same = found[found.labels == shipped.names.index(name)]
        assert iou(np.float32([box]), same.boxes).max(initial=0) >= overlap
    assert len(found) <= len(PHOTOS[photo]) + 1
    assert {shipped.names[label] for label in found.labels} == {name for name, _, _ in PHOTOS[photo]}


def test_threads_share_the_shipped_detector(shipped: Detector, photos: dict[str, Path]) -> None:
    pictures = [cv2.resize(cv2.imread(str(photos[name])), (320, 256)) for name in ("bus", "zidane")]
    expected = [shipped(picture, min_score=0.3) for picture in pictures]
    wrong: list[int] = []

    def work(k: int) -> None:
        found = [shipped(pictures[k], min_score=0.3) for _ in range(3)]
        wrong.extend(k for one in found if as_set(one) != as_set(expected[k]))

    threads = [threading.Thread(target=work, args=(k % 2,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert as_set(expected[0]) != as_set(expected[1])


WALKERS = {                            # of vtest.avi, counted and boxed by eye: frame, then x0, y0, x1, y1
    79: [(259, 173, 285, 242), (373, 181, 396, 260), (410, 182, 434, 263), (445, 176, 472, 254),
         (476, 175, 502, 251), (569, 190, 601, 283), (276, 52, 288, 84)],
    238: [(40, 176, 60, 242), (243, 157, 279, 238), (456, 254, 492, 357), (620, 205, 653, 284),
          (643, 118, 660, 174), (661, 118, 677, 173), (667, 275, 710, 377)],
    397: [(268, 198, 296, 280), (588, 142, 612, 205), (686, 296, 729, 406)],
    556: [(94, 165, 118, 232), (168, 358, 205, 493), (208, 381, 268, 530), (393, 160, 416, 238),
          (588, 160, 616, 231), (641, 303, 668, 407)],
    715: [(165, 190, 190, 262), (246, 180, 270, 257), (320, 173, 344, 236), (437, 192, 470, 281),
          (483, 186, 508, 260), (540, 129, 560, 186), (590, 204, 613, 291), (57, 257, 91, 351)],
}
CARS = [(652, 42, 725, 99), (731, 47, 768, 96)]                                    # in each of the frames


def matched(labelled: list[tuple[int, int, int, int]], boxes: np.ndarray, least: float) -> set[int]:
    """The boxes that are somebody's own: of each label the one that overlaps it most, by `least` at least."""
    mine: set[int] = set()
    for row in iou(np.float32(labelled), boxes):
        best = max((k for k in range(len(boxes)) if k not in mine), key=lambda k: row[k], default=None)
        if best is not None and row[best] >= least:
            mine.add(best)
    return mine


@pytest.mark.realdata
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_walkers_of_vtest_are_boxed(precision: str, data: Path) -> None:
    """At least 28 of 31 by a box of their own, and of any class at most one box where nothing is."""
    detector = Detector.load(precision=precision)
    video = cv2.VideoCapture(str(data / "videos" / "vtest.avi"))
    frames = [video.read()[1] for _ in range(716)]
    hits = strays = 0
    for index, walkers in WALKERS.items():
        found = detector(frames[index])
        people = found[found.labels == detector.names.index("person")]
        mine = matched(walkers, people.boxes, 0.4)
        hits, strays = hits + len(mine), strays + len(found) - len(mine) - parked(detector, found).sum()
    assert hits >= 28
    assert strays <= 1


@pytest.mark.realdata
@pytest.mark.parametrize("precision", ["fp32", pytest.param("int8", marks=pytest.mark.xfail(
    strict=True, reason="the car that the gate hides in part is below the threshold in int8"))])
def test_the_parked_cars_of_vtest_are_boxed(precision: str, data: Path) -> None:
    detector = Detector.load(precision=precision)
    video = cv2.VideoCapture(str(data / "videos" / "vtest.avi"))
    frames = [video.read()[1] for _ in range(716)]
    assert all(parked(detector, detector(frames[index])).all() for index in WALKERS)


def parked(detector: Detector, found: Detections) -> np.ndarray:
    """Which of `CARS` are boxed."""
    cars = found[found.labels == detector.names.index("car")]
    return np.asarray(iou(np.float32(CARS), cars.boxes).max(1, initial=0) >= 0.7)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_a_float_picture_is_refused(resize: str) -> None:
    """It was cast to uint8: one in 0..1 was black to the network, and nothing was found in it."""
    detector = Detector(FakeEngine(lambda batch: ()), replace(CARD, input=Input((64, 64), resize)))
    with pytest.raises(UsageError, match=r"got float32 \(64, 64, 3\)"):
        detector(np.full((64, 64, 3), 0.5, np.float32))
    with pytest.raises(UsageError, match=r"got uint8 \(64, 3\)"):
        detector.batch(IMAGE)                                  # a picture is no list of pictures


def test_an_ssd_gets_its_one_size() -> None:
    """Cut to a wide picture's shape, 300x300 was 320x192, of which SSD's last convolution leaves nothing."""
    seen: list[tuple[int, ...]] = []

    def corner(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(batch.shape)
        return np.float32([[[0, 65, 300, 234]]]), np.float32([[[0.9, 0, 0]]])

    card = replace(CARD, input=Input((300, 300), "letterbox", fixed=True))
    found = Detector(FakeEngine(corner), card)(np.zeros((360, 640, 3), np.uint8))
    assert seen == [(1, 300, 300, 3)]
    np.testing.assert_allclose(found.boxes, [[0, 0, 640, 360]], atol=0.5)
