"""The card as JSON: there and back, those of the first version, and those of a later one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vision.card import Boxes, Card, Clip, Input, card_from_json, card_of
from vision.errors import WeightsError
from vision.zoo import CARDS

FOLDER = Path(__file__).parent.parent / "weights"
SHIPPED = sorted(path.name for path in FOLDER.glob("*.safetensors"))
WITHOUT = {"mobilenet-v2-imagenet.safetensors", "dlib-face.safetensors", "face-attributes.safetensors"}   # of packages
FULL = Card(
    name="all", task="action", form="openvino", net="frame2d", file="all.safetensors", licence="ours",
    source="made", input=Input((64, 48), "crop", True, False, 0.9, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
    config={"sides": [1, 2], "classes": 2}, use="research",
    figures={"fp32": {"top-1": 0.9, "top-5": 1.0}, "int8": {"top-1": 0.8}}, measured_on="ten", names=("a", "b"),
    min_score=0.3, tolerance=0.1, boxes=Boxes("rows", 1.0), clip=Clip(8, 6.25, True, "two-stream", ("pool",)),
)


def flat(**changes: object) -> str:
    """A card as the first version wrote it."""
    return json.dumps({
        "name": "old", "task": "detect", "net": "gfl", "file": "x", "sha256": "1234", "licence": "research",
        "source": "s", "size_wh": [512, 384], "resize": "letterbox", "names": ["cat", "dog"],
        "min_score": 0.4, "max_iou": 0.6, "enlarge": False, "output": "dense", "crop": 0.875,
        "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "tolerance": 0.1,
        "config": {"classes": 2}, "clip": [16, 12.5], "per_frame": True, "channels": "colour",
        "features": ["pool"], "int8": "another", "url": None, **changes,
    })


@pytest.mark.parametrize("card", [FULL, *CARDS.values()], ids=lambda card: card.name)
def test_json_keeps_everything_but_where_the_file_was_and_its_int8(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "moved.safetensors"
    wanted = replace(card, file=str(path), sha256="", url=None, int8=None)
    assert card_from_json(card.to_json(), path) == wanted


def test_figures_were_one_line_at_first(tmp_path: Path) -> None:
    text = json.dumps({**json.loads(FULL.to_json()), "figures": "mIoU 0.7 on streets"})
    found = card_from_json(text, tmp_path / "x")
    assert (found.figures, found.measured_on) == ({}, "mIoU 0.7 on streets")


def test_a_flat_card_is_nested(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    assert card_from_json(flat(), path) == Card(
        name="old", task="detect", net="gfl", file=str(path), licence="research", source="s",
        input=Input((512, 384), "letterbox", enlarge=False, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        config={"classes": 2}, use="research", names=("cat", "dog"), min_score=0.4, tolerance=0.1,
        boxes=Boxes("dense", 0.6), clip=Clip(16, 12.5, True, "colour", ("pool",)),
    )


def test_a_flat_card_of_a_compressed_model_or_an_ssd_has_its_one_size(tmp_path: Path) -> None:
    small = card_from_json(flat(net="openvino", config={"input_wh": [64, 48]}), tmp_path / "x")
    assert (small.form, small.net, small.config) == ("openvino", "", {})
    assert (small.input.size_wh, small.input.fixed) == ((64, 48), True)
    any_size = card_from_json(flat(net="openvino", config={}), tmp_path / "x")
    assert (any_size.input.size_wh, any_size.input.fixed) == ((512, 384), False)
    assert card_from_json(flat(net="single_shot"), tmp_path / "x").input.fixed


@pytest.mark.parametrize("file", [name for name in SHIPPED if name not in WITHOUT])
def test_the_card_inside_what_ships_is_the_catalogues(file: str) -> None:
    inside = card_of(FOLDER / file)
    known = next(card for card in CARDS.values() if (card.file, card.task) == (file, inside.task))
    assert (inside.task, inside.form, inside.net, inside.classes, inside.input.size_wh) == (
        known.task, known.form, known.net, known.classes, known.input.size_wh)
    assert (inside.input, inside.boxes, inside.clip) == (known.input, known.boxes, known.clip)
    assert inside.file == str(FOLDER / file)


def test_a_card_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    newer = json.dumps({**json.loads(FULL.to_json()), "version": 3})
    with pytest.raises(WeightsError, match=r"has version 3, and this vision reads up to 2\. Update vision"):
        card_from_json(newer, tmp_path / "x.safetensors")


def test_the_oldest_cards_lack_what_came_later(tmp_path: Path) -> None:
    """Cards had neither `enlarge` nor clips nor `int8` at first."""
    first = {key: value for key, value in json.loads(flat()).items() if key not in (
        "enlarge", "clip", "per_frame", "channels", "features", "int8", "max_iou", "output", "crop",
    )}
    found = card_from_json(json.dumps(first), tmp_path / "x")
    assert (found.input.enlarge, found.boxes, found.clip) == (True, Boxes(), Clip())


@pytest.mark.parametrize("values", [
    {"version": "two"}, {"sound": 1}, {"input": {"size_wh": [1, 1], "colour": 3}}, {"input": 7},
    {"names": "no-such-list"},
])
def test_a_card_that_says_something_else_is_told(values: dict[str, object], tmp_path: Path) -> None:
    text = json.dumps({**json.loads(FULL.to_json()), **values})
    with pytest.raises(WeightsError, match=r"the card of '.*x' cannot be read"):
        card_from_json(text, tmp_path / "x")
