"""Items of detection data: drawn by their key alone, held out at one size, faults passed over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vision.card import Input
from vision.data.detection import DetectionData, read_detection
from vision.engine import FakeEngine
from vision.errors import DataError
from vision.metrics.detection import average_precision, coco_rows
from vision.tasks.detect import Detector
from vision.train.detect import DetectSettings
from vision.train.detection_set import DetectionSet, HeldOutPictures
from vision.train.detection_transforms import GREY
from vision.train.loading import Shuffled, epoch_of, loaders
from vision.types import Detections

from .conftest import card
from .labelled import NAMES, SPLITS, Thing, write_coco

SIZE = (64, 48)


def settings(crop: tuple[int, int] = SIZE, scale: tuple[float, float] = (0.5, 1.8), **more: object) -> DetectSettings:
    """Mosaic to the end, unless it is said otherwise."""
    return DetectSettings(**{"crop": crop, "scale": scale, "epochs": 1000, "closing": 0, **more})


@pytest.fixture
def train(tmp_path: Path) -> DetectionData:
    """Twelve pictures, a block in each but one; four broken ones are for the tests to make."""
    pictures = {
        f"{i:02d}": ((64, 48), [Thing(i % 3, (4 + i, 6, 30 + i, 40))] if i else []) for i in range(12)
    }
    return read_detection(write_coco(tmp_path, {"train": pictures}), "train")


def epochs(data: DetectionSet, which: Sequence[int], workers: int = 0) -> list[list[tuple[Tensor, ...]]]:
    """The batches of some epochs, from one loader."""
    loader, _ = loaders(data, data, settings(batch=4, workers=workers))
    found = []
    for epoch in which:
        loader.sampler.set_epoch(epoch)
        found.append(list(loader))
    return found


def batches(data: DetectionSet, epoch: int) -> list[tuple[Tensor, ...]]:
    return epochs(data, [epoch])[0]


def same(a: list[tuple[Tensor, ...]], b: list[tuple[Tensor, ...]]) -> bool:
    return all(torch.equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))


def test_an_item_is_a_function_of_its_key_alone(train: DetectionData) -> None:
    data = DetectionSet(train, settings(mosaic=0.5, mix_up=0.5))
    keys = [(i, 7 * i) for i in range(12)]
    forwards = [data[key] for key in keys]
    torch.rand(5)
    backwards = [data[key] for key in keys[::-1]][::-1]
    assert same(forwards, backwards)
    assert not torch.equal(data[(3, 1)][0], data[(3, 2)][0])
    state = torch.random.get_rng_state()
    assert data[(0, 0)][0].shape == (3, 48, 64)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_epoch_is_the_same_in_a_run_that_was_resumed_and_another_one_is_not(train: DetectionData) -> None:
    varied = settings(mix_up=0.3)
    assert same(batches(DetectionSet(train, varied), 3), batches(DetectionSet(train, varied), 3))
    assert not same(batches(DetectionSet(train, varied), 3), batches(DetectionSet(train, varied), 4))


@pytest.mark.slow
def test_loading_processes_change_nothing_and_their_faults_are_seen(train: DetectionData) -> None:
    train.pictures[5].path.write_bytes(b"no picture")
    varied = settings(mix_up=0.3, epochs=2)
    alone, shared = DetectionSet(train, varied), DetectionSet(train, varied)
    with pytest.warns(UserWarning, match=r"05\.png"):
        expected = epochs(alone, (1, 2))
    assert all(map(same, epochs(shared, (1, 2), workers=2), expected))
    assert shared.pictures.broken == alone.pictures.broken == [5]


def test_a_key_knows_its_epoch(train: DetectionData) -> None:
    sampler = Shuffled(12, 1)
    for epoch in (0, 1, 70, 100_000):
        sampler.set_epoch(epoch)
        assert {epoch_of(key) for key in sampler} == {epoch}


def test_mosaic_and_mix_up_end_after_their_epochs(train: DetectionData) -> None:
    """Every picture has at most one object, so what is mixed has more."""
    data = DetectionSet(train, settings(mosaic=1.0, mix_up=1.0, epochs=2, visible=0.0))
    most = [max(int((labels >= 0).sum(1).max()) for _, _, labels in batches(data, e)) for e in range(4)]
    assert min(most[:2]) > 2
    assert most[2:] == [1, 1]
    always = DetectionSet(train, settings(mosaic=1.0, visible=0.0))
    assert max(int((labels >= 0).sum(1).max()) for _, _, labels in batches(always, 50)) > 1


def test_a_box_is_where_its_block_is(train: DetectionData) -> None:
    """From the file to the item: the block is the brightest thing in the picture."""
    data, checked = DetectionSet(train, settings(mosaic=0.0, colour=0.0)), 0
    for seed in range(40):
        picture, boxes, labels = data[(1 + seed % 11, seed)]
        assert len(boxes) == len(labels) <= 1
        for box, label in zip(boxes, labels.tolist(), strict=True):
            ys, xs = (picture[0] > 180).nonzero(as_tuple=True)
            found = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            assert (found - box).abs().max() <= 1
            assert label == (1 + seed % 11) % 3
            checked += 1
    assert checked > 30


def test_colours_are_rgb(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 2] = 200                                                       # red, as OpenCV orders it
    for stem in "ad":
        cv2.imwrite(str(root / f"images/{stem}.png"), image if stem == "a" else cv2.resize(image, (80, 40)))
    train, val = read_detection(root, "train"), read_detection(root, "val")
    item = DetectionSet(train, settings(SIZE, (2.0, 2.0), mosaic=0, colour=0.0))[(0, 0)]
    for picture in (item[0], HeldOutPictures(val, Input((80, 40), "stretch"))[(0, 0)].pixels.flip(-1).permute(2, 0, 1)):
        assert picture.reshape(3, -1).unique(dim=1).tolist() == [[200], [0], [0]]


def test_a_large_jpeg_is_decoded_as_large_as_it_is_needed(tmp_path: Path) -> None:
    """1001 pixels for 64 at most twice enlarged: an eighth, 126 pixels, does not suffice, a quarter does."""
    root = write_coco(tmp_path, {"train": {"a": ((1001, 650), [Thing(1, (160, 80, 640, 480))])}})
    image = cv2.imread(str(root / "images/a.png"))
    cv2.imwrite(str(root / "images/a.jpg"), image)
    path = root / "train.json"
    path.write_text(path.read_text().replace("a.png", "a.jpg"))
    found = read_detection(root, "train")
    data = DetectionSet(found, settings(SIZE, (1.0, 2.0), ratio=1.0, mosaic=0, colour=0.0))
    assert data._sample(0)["picture"].shape == (3, 163, 251)
    assert data._sample(0)["boxes"].tolist() == [[40, 20, 160, 120]]
    assert found.pictures[0].boxes.tolist() == [[160, 80, 640, 480]]
    for seed in range(10):
        picture, boxes, _ = data[(0, seed)]
        ys, xs = (picture[0] > 180).nonzero(as_tuple=True)
        for box in boxes:
            seen = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            assert (seen - box).abs().max() <= 1


def test_crowds_are_not_learnt_and_difficult_ones_are(tmp_path: Path) -> None:
    data = read_detection(write_coco(tmp_path), "train")
    data.pictures[0].crowd[0] = True
    item = DetectionSet(data, settings(SIZE, (1.0, 1.0), ratio=1.0, mosaic=0))[(0, 0)]
    assert data.pictures[0].difficult.tolist() == [False, True]
    assert item[2].tolist() == [2]


def test_a_corrupt_picture_is_named_once_counted_and_another_drawn(train: DetectionData) -> None:
    data = DetectionSet(train, settings(mosaic=0.0))
    whole = [data[(i, i)] for i in range(12)]
    train.pictures[2].path.write_bytes(b"no picture")
    train.pictures[4].path.unlink()
    train.pictures[6].path.write_bytes(train.pictures[6].path.read_bytes()[:150])
    cv2.imwrite(str(train.pictures[8].path), np.zeros((20, 20, 3), np.uint8))
    with pytest.warns(UserWarning, match="passed over") as told:
        items = [data[(i, i)] for i in range(12)]
    assert [str(w.message).split("'")[1][-6:] for w in told] == ["02.png", "04.png", "06.png", "08.png"]
    assert "(20, 20), its labels are for (64, 48)" in str(told[3].message)
    assert data.pictures.broken == [2, 4, 6, 8]
    for i in set(range(12)) - {2, 4, 6, 8}:
        assert torch.equal(items[i][0], whole[i][0])
    assert same(items, [data[(i, i)] for i in range(12)])                     # the same ones in their place
    assert len(batches(data, 0)) == 3                                         # no batch is smaller
    assert data.pictures.broken == [2, 4, 6, 8]


def test_a_data_set_of_broken_pictures_ends(train: DetectionData) -> None:
    for labelled in train.pictures:
        labelled.path.write_bytes(b"")
    data = DetectionSet(train, settings())
    with pytest.warns(UserWarning, match="passed over"), pytest.raises(
        DataError, match=r"of 12 pictures cannot be read, 20 in a row\. First '.*\.png'"
    ):
        data[(0, 0)]


def test_held_out_pictures_are_what_the_detector_shows_and_the_way_back(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"val": {**SPLITS["train"], **SPLITS["val"]}})
    data = read_detection(root, "val")
    wanted = Input((96, 64), "letterbox")
    shown: list[np.ndarray] = []

    def engine(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        shown.append(batch[0])
        return np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 3), np.float32)

    detector = Detector(FakeEngine(engine), card(input=wanted, names=NAMES))
    held_out = HeldOutPictures(data, wanted)
    items, rows = next(iter(loaders(held_out, held_out, settings(batch=4))[1])), []
    for i, (item, labelled) in enumerate(zip(items, data.pictures, strict=True)):
        detector(cv2.imread(str(labelled.path)))
        assert np.array_equal(item.pixels.numpy(), shown[i])                  # BGR, at a size of its own
        sx, sy, ox, oy = item.place.tolist()
        moved = labelled.boxes * np.tile([sx, sy], 2) + np.tile([ox, oy], 2)
        there = held_out.to_picture(moved.astype(np.float32), item)
        np.testing.assert_allclose(there, labelled.boxes, atol=1e-4)
        found = Detections(there, np.full(len(there), 0.5), labelled.labels)
        rows += coco_rows(i, found, {label: label for label in range(len(NAMES))})
    assert [tuple(item.pixels.shape[:2]) for item in items] == [(64, 96), (96, 64), (64, 64), (64, 96)]
    assert [item.number for item in items] == [0, 1, 2, 3]
    assert average_precision(data.truth(), rows).ap == pytest.approx(1.0)


def test_a_held_out_picture_that_cannot_be_read_is_not_scored(tmp_path: Path) -> None:
    root = write_coco(tmp_path, {"val": {**SPLITS["train"], **SPLITS["val"]}})
    data = read_detection(root, "val")
    held_out = HeldOutPictures(data, Input((32, 32), "letterbox"))
    data.pictures[1].path.write_bytes(b"")
    with pytest.warns(UserWarning, match=r"b\.png"):
        item = held_out[(1, 0)]
    assert item.number == -1
    assert (item.pixels == GREY).all()
    assert held_out.pictures.broken == [1]
    assert [path.name for path in held_out.pictures.unread] == ["b.png"]


def test_ten_thousand_boxes_in_a_picture_and_none(tmp_path: Path) -> None:
    things = [Thing(0, (x, y, x + 4, y + 3)) for y in range(0, 300, 3) for x in range(0, 500, 5)]
    root = write_coco(tmp_path, {"train": {"a": ((640, 480), things), "b": ((640, 480), [])}}, ["ant"])
    data = DetectionSet(read_detection(root, "train"), settings((640, 480), (1.0, 1.0), ratio=1.0, mosaic=0))
    pictures, boxes, labels = data.collate([data[(0, 0)], data[(1, 1)]])
    assert boxes.shape == (2, 10_000, 4)
    assert (labels >= 0).sum(1).tolist() == [10_000, 0]
    assert pictures.shape == (2, 3, 480, 640)


def test_a_batch_without_any_box() -> None:
    empty = torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    _, boxes, labels = DetectionSet.collate([empty, empty])
    assert (boxes.shape, labels.shape) == ((2, 0, 4), (2, 0))


@pytest.mark.slow
def test_a_run_passes_over_a_picture_that_is_cut_off_and_says_so_at_its_end(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="training needs the extra 'train'")
    from vision.train.training import Training

    splits = {
        split: {f"{split}{i}": (SIZE, [Thing(i % 3, (4 + i, 6, 30 + i, 40))]) for i in range(count)}
        for split, count in (("train", 8), ("val", 3))
    }
    root = write_coco(tmp_path / "data", splits)
    for name in ("train3", "val1"):                                           # whole at its head
        path = root / "images" / f"{name}.png"
        path.write_bytes(path.read_bytes()[:150])
    chosen = DetectSettings(
        model="gfl", size=(64, 64), crop=(64, 64), mosaic=0.0, epochs=2, batch=4, encoder_weights="none"
    )
    with pytest.warns(UserWarning, match="passed over") as told:
        run = Training("detect", root, tmp_path / "run", chosen).run()
    messages = [str(w.message) for w in told if "passed over" in str(w.message)]
    assert [sum(name in m for m in messages[:-1]) for name in ("train3.png", "val1.png")] == [1, 1]
    assert messages[-1].startswith("2 pictures were passed over: ")
    assert run.epochs == 2
    assert np.isfinite(run.figures["ap"])
