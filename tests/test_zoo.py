"""The catalogue: every card is whole, and whatever a user types finds one or is told why not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file
from typer.testing import CliRunner

from vision import weights
from vision.card import Boxes, Card
from vision.cli import app
from vision.cli.measured import photographs
from vision.cli.measured import picture_of as picture
from vision.errors import MissingExtra, ModelError, WeightsError
from vision.nets import NETS, build
from vision.tasks.detect import Detector
from vision.zoo import CARDS, DEFAULTS, find


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_a_card_is_whole(card: Card) -> None:
    assert CARDS[card.name] is card
    assert (card.net in NETS) == (card.form == "network")
    assert len(card.sha256) in (8, 64)
    assert card.licence
    assert card.source
    assert len(set(card.classes)) == len(card.classes) or "coco90" in card.names
    if "extra `" in card.source:                              # in a package that need not be there
        assert len(card.sha256) == 64
    elif card.url is None:                                    # it ships: whole digest, file here
        assert len(card.sha256) == 64
        assert weights.resolve(card).is_file()
    else:                                                     # pulled: a whole digest, or what the name has
        assert len(card.sha256) == 64 or card.sha256 in card.file
        assert card.url.endswith(card.file) or card.task == "lanes"       # their publishers call them best.onnx


def test_the_name_lists_are_those_of_their_data_sets() -> None:
    assert [len(CARDS[n].classes) for n in ("gfl-voc", "mobilenet-v2", "fcos-resnet50")] == [20, 1000, 90]
    assert CARDS["gfl-voc"].classes[14] == "person"
    assert CARDS["mobilenet-v2"].classes[0] == "tench"
    coco = CARDS["fcos-resnet50"].classes
    assert [coco[i] for i in (0, 2, 11, 89)] == ["person", "car", "N/A", "toothbrush"]


def test_default_and_names_and_cards_are_found() -> None:
    for task, name in DEFAULTS.items():
        assert find("default", task) is CARDS[name]
    card = CARDS["gfl-voc"]
    assert find("gfl-voc", "detect") is card
    assert find(card, "detect") is card


@pytest.mark.parametrize(("name", "task", "message"), [
    ("gfl-vok", "detect", "no model 'gfl-vok' for detect. Nearest: gfl-voc"),
    ("mobilenet", "classify", "Nearest: mobilenet-v2"),
    ("mobilenet-v2", "detect", "'mobilenet-v2' is a model for classify, not for detect"),
    ("torchvision:resnet51", "classify", "torchvision has no classifier 'resnet51'. Nearest: resnet50"),
    ("timm:resnet51", "classify", "timm has no classifier 'resnet51'. Nearest: resnet5"),
    ("timm:resnet18", "detect", "'timm:resnet18' is a model for classify, not for detect"),
])
def test_a_name_that_does_not_exist_offers_the_nearest(name: str, task: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find(name, task)


def test_a_published_classifier_has_its_librarys_values_and_no_weights_of_ours() -> None:
    card = find("torchvision:resnet50", "classify")
    assert (card.file, card.sha256) == ("resnet50-11ad3fa6.pth", "11ad3fa6")
    assert card.url == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert (card.input.size_wh, card.input.crop) == ((224, 224), 224 / 232)
    with pytest.raises(WeightsError, match=r"11ad3fa6.pth\) are not here.*vision weights pull torchvision"):
        weights.resolve(card)

    card = find("timm:tf_efficientnet_lite0", "classify")
    assert (card.input.mean, card.input.std, card.input.crop) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 0.875)
    assert card.sha256 == "0aa007d2"


def test_weights_of_the_users_own_come_after_an_at_sign(tmp_path: Path) -> None:
    from vision.tasks.classify import Classifier

    card = find(f"torchvision:resnet18@{tmp_path}/mine.safetensors", "classify")
    assert (card.file, card.sha256, card.url) == (f"{tmp_path}/mine.safetensors", "", None)
    with pytest.raises(WeightsError, match=r"mine.safetensors\) are not here.*Give the file's path"):
        Classifier.load(card)
    save_file({"fc.bias": np.zeros(1000, np.float32)}, tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit the network.*Missing key"):
        Classifier.load(card, backend="torch")


def test_a_trained_file_carries_its_card(tmp_path: Path) -> None:
    card = CARDS["gfl-voc"]
    path = tmp_path / "mine.safetensors"
    save_file({"x": np.zeros(1, np.float32)}, path, metadata={"card": card.to_json()})
    again = find(path, "detect")
    assert (again.file, again.sha256) == (str(path), "")
    assert (again.names, again.input, again.config) == (card.names, card.input, card.config)

    save_file({"x": np.zeros(1, np.float32)}, path)
    with pytest.raises(WeightsError, match="carries no card"):
        find(path, "detect")
    path.write_text("not safetensors")
    with pytest.raises(WeightsError, match="is not a readable safetensors file"):
        find(path, "detect")


def test_a_trained_file_never_stands_back_for_what_ships(tmp_path: Path) -> None:
    """Its card may be a copy of the default's, whose int8 file would run in its place."""
    path = tmp_path / "mine.safetensors"
    save_file({"x": np.zeros(1, np.float32)}, path, metadata={"card": CARDS["gfl-voc"].to_json()})
    assert CARDS["gfl-voc"].int8 is CARDS["gfl-voc-int8"]
    assert find(path, "detect").int8 is None


@pytest.mark.parametrize("card", [
    "{not json", "[1]", '{"name": "x", "task": "detect"}',
    CARDS["gfl-voc"].to_json().replace('"voc"', '"no-such-list"'),
])
def test_a_card_that_cannot_be_read_is_told(tmp_path: Path, card: str) -> None:
    path = tmp_path / "mine.safetensors"
    save_file({"x": np.zeros(1, np.float32)}, path, metadata={"card": card})
    with pytest.raises(WeightsError, match=r"the card of .*mine\.safetensors' cannot be read"):
        find(path, "detect")


def test_a_network_is_not_built_with_what_it_does_not_take() -> None:
    with pytest.raises(ModelError, match=r"the network 'gfl' cannot be built: .*'clases'"):
        build("gfl", classes=3, clases=3)


def test_a_card_is_of_its_task_too() -> None:
    with pytest.raises(ModelError, match="'fpn-lite0-camvid' is a model for segment, not for detect"):
        find(CARDS["fpn-lite0-camvid"], "detect")


def exported(
    path: Path, out: list[object], image: tuple[object, ...] = (1, 3, 480, 640), **changes: str
) -> Path:
    """An ONNX file with the metadata that ultralytics writes, and one node."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["output0"])], "yolo",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(image))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, out)],
    )
    model = helper.make_model(graph)
    told = {
        "task": "detect", "names": "{0: 'cat', 1: 'dog'}", "imgsz": "[480, 640]",
        "args": "{'nms': False}", "end2end": "False", **changes,
    }
    helper.set_model_props(model, {k: v for k, v in told.items() if v})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(("out", "image", "changes", "layout", "max_iou"), [
    ([1, 6, 6300], (1, 3, 480, 640), {}, "yolo", 0.7),                     # two classes: 4 + 2 is 6 as well
    ([1, 300, 6], (1, 3, 480, 640), {}, "yolo_rows", 1.0),
    (["b", "c", "a"], ("b", 3, "h", "w"), {}, "yolo", 0.7),
    (["b", "c", "a"], ("b", 3, "h", "w"), {"end2end": "True"}, "yolo_rows", 1.0),
    (["b", "c", "a"], ("b", 3, "h", "w"), {"args": "{'nms': True}"}, "yolo_rows", 1.0),
])
def test_a_yolo_export_tells_its_classes_size_and_kind(
    tmp_path: Path, out: list, image: tuple, changes: dict, layout: str, max_iou: float
) -> None:
    card = find(exported(tmp_path / "y.onnx", out, image, **changes), "detect")
    assert (card.form, card.boxes) == ("onnx", Boxes(layout, max_iou))
    assert card.input.size_wh == (640, 480)
    assert card.classes == ("cat", "dog")
    assert card.file == str(tmp_path / "y.onnx")


@pytest.mark.parametrize(("task", "says"), [
    ("obb", "is a YOLO for 'obb', not one of upright boxes, masks or bodies"),
    ("pose", "does not say which points; bodies here have COCO's 17"),
    ("segment", r"they fit no family .*--decoder NAME"),          # boxes alone, where masks are promised
])
def test_a_yolo_for_something_else_is_refused(tmp_path: Path, task: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        find(exported(tmp_path / "y.onnx", [1, 6, 6300], task=task), "detect")


def test_a_yolo_pose_tells_its_points(tmp_path: Path) -> None:
    told = {"task": "pose", "names": "{0: 'person'}"}
    card = find(exported(tmp_path / "y.onnx", [1, 56, 6300], kpt_shape="[17, 3]", **told), "pose")
    assert (card.boxes, card.classes) == (Boxes("yolo_points", 0.7), ("person",))
    rows = find(exported(tmp_path / "r.onnx", [1, 300, 57], kpt_shape="[17, 3]", end2end="True", **told), "pose")
    assert rows.boxes == Boxes("yolo_point_rows", 1.0)
    with pytest.raises(ModelError, match="is a model for pose, not for detect"):
        find(card, "detect")
    with pytest.raises(ModelError, match=r"has points \[21, 3\]; bodies here have COCO's 17"):
        find(exported(tmp_path / "y.onnx", [1, 68, 6300], kpt_shape="[21, 3]", **told), "pose")


def test_files_that_are_missing_or_something_else(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no file 'none.onnx'"):
        find("none.onnx", "detect")
    (tmp_path / "text.onnx").write_text("not ONNX at all")
    with pytest.raises(WeightsError, match="is not a readable ONNX file"):
        find(tmp_path / "text.onnx", "detect")
    (tmp_path / "mine.pth").write_text("tensors")
    with pytest.raises(WeightsError, match=r"mine.pth' does not say which network it is for"):
        find(tmp_path / "mine.pth", "classify")


def test_a_yolo_pt_is_a_card_that_needs_ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = find("yolo11n.pt", "detect")
    assert (card.form, card.file) == ("ultralytics", "yolo11n.pt")
    assert card.url is not None
    assert card.url.endswith("/yolo11n.pt")
    with pytest.raises(WeightsError, match=r"vision weights pull yolo11n.pt"):
        Detector.load("yolo11n.pt")
    (tmp_path / "mine.pt").write_bytes(b"not a pickle")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "ultralytics", None)
        with pytest.raises(MissingExtra, match=r"pip install '(\.|vision)\[yolo\]'"):
            Detector.load(tmp_path / "mine.pt")


def test_a_task_need_not_be_said() -> None:
    assert find("mobilenet-v2") is CARDS["mobilenet-v2"]
    assert find("torchvision:resnet18").task == "classify"
    with pytest.raises(ModelError, match=r"no model 'mobile'. Nearest: mobilenet-v2"):
        find("mobile")
    with pytest.raises(ModelError, match=r"each task has a default. Name one: .*two-stream-ucf101-3, "):
        find("default")


def test_a_card_says_who_may_use_its_weights() -> None:
    research = {name for name, card in CARDS.items() if card.use == "research"}
    assert research == {
        "fpn-lite0-camvid", "segnet-mobilenetv2-camvid", "fcn8s-mobilenetv2-camvid", "two-stream-ucf101-3",
        "c3d-ucf101",
    }
    assert all("research" in CARDS[name].licence for name in research)


def models(*arguments: str) -> str:
    """What `vision models ...` prints, on one line without what frames it."""
    shown = CliRunner().invoke(app, ["models", *arguments])
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def test_the_command_shows_a_card() -> None:
    told = " ".join(models("show", "fpn-lite0-camvid").split())
    for part in (
        "use research", "figures fp32 mIoU 0.739; bf16 mIoU 0.740 (CamVid's 101 validation pictures, before six",
        "size_wh (608, 448), resize stretch",
        "11: sky, building, pole", "CamVid's terms: research",
    ):
        assert part in told
    told = " ".join(models("show", "gfl-voc").split())
    assert "boxes layout dense, max_iou 0.5" in told
    assert "fp32 AP 0.431, AP50 0.685; bf16 AP 0.43" in told
    assert "int8 AP 0.423, AP50 0.674 (501 validation pictures of VOC2007)" in told


def test_the_catalogue_is_json_too() -> None:
    rows = {row["name"]: row for row in map(json.loads, models("--json").splitlines())}
    assert list(rows) == list(CARDS)
    usual = rows["nanodet-g"]
    assert (usual["int8"], usual["default"], usual["weights"]) == ("nanodet-g-int8", True, "shipped")
    assert usual["input"]["size_wh"] == [512, 512]


def test_a_check_without_pictures_needs_nothing_under_agpl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ultralytics", None)
    images = [picture(path) for path in photographs()]
    assert [image.shape for image in images] == [(512, 512, 3), (300, 451, 3)]
    found = Detector.load("gfl-voc", "cpu", "fp32").batch(images)
    assert [CARDS["gfl-voc"].classes[f.labels[0]] for f in found] == ["person", "cat"]


@pytest.mark.parametrize(("checkout", "asked"), [(True, "'.[compress]'"), (False, "'vision[compress]'")])
def test_the_hint_of_a_checkout_asks_no_index_for_vision(
    checkout: bool, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.errors._CHECKOUT", checkout)
    assert str(MissingExtra("nncf", "compress", "this")).endswith(f"Install it: pip install {asked}")
