"""Selective search: its parts against loops, what it finds, and what it makes of odd pictures."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.train.labelled import write_coco
from vision.boxes import iou
from vision.cli import app
from vision.data.detection import read_detection
from vision.errors import UsageError
from vision.metrics.proposals import proposal_figures
from vision.proposals import SelectiveSearch
from vision.proposals.grouping import Likeness, group
from vision.proposals.kept import kept_proposals
from vision.proposals.regions import Described, Regions, in_space


def scene() -> np.ndarray:
    """A red disc in front of a noisy ground, and a box of two colours."""
    random = np.random.default_rng(0)
    image = random.integers(90, 110, (120, 160, 3), np.uint8)
    cv2.circle(image, (40, 60), 25, (30, 30, 220), -1)
    image[30:70, 100:120], image[30:70, 120:140] = (220, 60, 20), (40, 200, 60)
    return image


def by_loops(labels: np.ndarray, likeness: Likeness, described: Described) -> list[tuple[int, ...]]:
    """Grouping as the paper has it: sets of pixels, all pairs looked at anew each time."""
    parts = [labels == i for i in range(labels.max() + 1)]

    def one(mask: np.ndarray) -> Regions:
        return described.regions((~mask).astype(int))              # the first of its two rows is the mask

    def box(mask: np.ndarray) -> tuple[int, ...]:
        y, x = np.nonzero(mask)
        return (x.min(), y.min(), x.max() + 1, y.max() + 1)

    def touch(a: np.ndarray, b: np.ndarray) -> bool:
        wide = cv2.dilate(a.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) > 0
        return bool((wide & b).any())

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        of_a, of_b, both = one(a), one(b), (a | b).sum()
        left, top, right, bottom = box(a | b)
        total = 0.0
        if likeness.colour:
            total += np.minimum(of_a.colours[0], of_b.colours[0]).sum()
        if likeness.texture:
            total += np.minimum(of_a.textures[0], of_b.textures[0]).sum()
        if likeness.size:
            total += 1 - both / a.size
        return total + (1 - ((right - left) * (bottom - top) - both) / a.size if likeness.fill else 0)

    boxes = [box(part) for part in parts]
    while len(parts) > 1:
        pairs = [(alike(parts[i], parts[j]), i, j) for i in range(len(parts)) for j in range(i)
                 if touch(parts[i], parts[j])]
        _, i, j = max(pairs)
        parts.append(parts[i] | parts[j])
        boxes.append(box(parts[-1]))
        del parts[i], parts[j]
    return boxes


@pytest.mark.parametrize("likeness", [Likeness(), Likeness(colour=False), Likeness(texture=False, fill=False)])
def test_grouping_is_that_of_sets_of_pixels(likeness: Likeness) -> None:
    described = Described(scene()[::2, ::2].copy(), "lab")
    labels = described.cut(30)
    assert 5 < labels.max() + 1 < 40
    found = group(described.regions(labels), likeness, labels.size)
    assert [tuple(map(int, box)) for box in found] == by_loops(labels, likeness, described)


def test_regions_are_counted_right() -> None:
    labels = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [3, 3, 3, 3]])
    image = np.zeros((3, 4, 3), np.uint8)
    image[labels == 1] = 255
    regions = Described(image, "lab").regions(labels)
    assert regions.sizes.tolist() == [3, 3, 2, 4]
    assert regions.boxes.tolist() == [[0, 0, 2, 2], [2, 0, 4, 2], [1, 1, 3, 2], [0, 2, 4, 3]]
    assert np.argwhere(np.triu(regions.near)).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert regions.colours.sum(1).tolist() == pytest.approx([1] * 4)
    assert np.flatnonzero(regions.colours[0]).tolist() == [0, 25 + 12, 50 + 12]       # black: L 0, a and b 128
    assert np.flatnonzero(regions.colours[1]).tolist() == [24, 25 + 12, 50 + 12]
    assert regions.textures.sum(1).tolist() == pytest.approx([1] * 4)


def test_normalised_colour_is_of_no_brightness() -> None:
    pixels = in_space(np.array([[[10, 20, 30], [40, 80, 120]]], np.uint8), "rgi")
    assert pixels.tolist() == [[[127, 85, 20], [127, 85, 80]]]


def test_it_finds_what_is_of_one_colour_and_what_is_of_two() -> None:
    boxes = SelectiveSearch(scales=(50,))(scene())
    best = iou(np.array([[15, 35, 66, 86], [100, 30, 140, 70], [0, 0, 160, 120]], np.float32), boxes).max(1)
    assert (best > 0.93).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert SelectiveSearch(scales=(50,))(scene()).tolist() == boxes.tolist()
    assert SelectiveSearch(scales=(50,))(scene(), 10).tolist() == boxes[:10].tolist()


@pytest.mark.parametrize("size", [(64, 48), (1, 1), (1, 30), (20, 2)])
def test_a_picture_of_one_colour_is_one_box(size: tuple[int, int]) -> None:
    assert SelectiveSearch()(np.full((*size, 3), 77, np.uint8)).tolist() == [[0, 0, size[1], size[0]]]


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="hsv, lab, rgi; got xyz"):
        SelectiveSearch(spaces=("xyz",))
    with pytest.raises(UsageError, match="above 0"):
        SelectiveSearch(scales=(0.0,))


def test_recall_is_counted_by_hand() -> None:
    objects = [np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32), np.array([[0, 0, 8, 8]], np.float32)]
    proposals = [np.array([[50, 50, 60, 60], [0, 0, 10, 6]], np.float32), np.array([[0, 0, 8, 8]], np.float32)]
    figures = proposal_figures(proposals, objects, [np.array([0, 1]), np.array([1])], ("a", "b", "c"))
    assert figures.recalls == pytest.approx({0.5: 2 / 3, 0.6: 2 / 3, 0.7: 1 / 3, 0.8: 1 / 3, 0.9: 1 / 3})
    assert figures.best_overlap == pytest.approx((0.6 + 0 + 1) / 3)
    assert (figures.classes["a"], figures.classes["b"]) == (1, 0.5)
    assert np.isnan(figures.classes["c"])
    assert figures.boxes == 1.5


def test_what_was_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    search = SelectiveSearch(("hsv",), (100,))
    first = kept_proposals(scene(), search)
    assert first.tolist() == search(scene()).tolist()
    monkeypatch.setattr(SelectiveSearch, "__call__", None)             # it would fail
    assert kept_proposals(scene(), search, 5).tolist() == first[:5].tolist()


def test_the_command_prints_recall_and_time(tmp_path: Path) -> None:
    write_coco(tmp_path)
    done = CliRunner().invoke(app, ["eval", "proposals", "--data", str(tmp_path), "--report", str(tmp_path / "r.json"),
                                    "--scales", "50"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "1 picture, 3 objects" in done.output
    assert "recall at IoU  0.5 0.6667" in done.output                  # one of the three is 7x7 pixels
    assert (tmp_path / "r.json").is_file()


@pytest.mark.realdata
def test_two_thousand_boxes_reach_nine_objects_of_ten(data: Path) -> None:
    labelled = read_detection(data / "voc2007", "val").pictures[100:112]
    began = time.process_time()
    found = [SelectiveSearch()(cv2.imread(str(one.path))) for one in labelled]
    assert (time.process_time() - began) / len(found) < 4
    keep = [~(one.difficult | one.crowd) for one in labelled]
    figures = proposal_figures(
        found, [one.boxes[k] for one, k in zip(labelled, keep, strict=True)],
        [one.labels[k] for one, k in zip(labelled, keep, strict=True)], [str(i) for i in range(20)])
    assert figures.recalls[0.5] >= 0.9
