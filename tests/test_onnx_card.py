"""ONNX files of any task: what ships, exported as others export it, gives what ships; and the card beside the file."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from vision import Classifier, Detector, Segmenter
from vision.cli import app
from vision.errors import ModelError, WeightsError
from vision.nets import build
from vision.onnx_card import card_beside, guessed, written
from vision.types import Image
from vision.zoo import CARDS, find


def exported(net: nn.Module, path: Path, size_wh: tuple[int, int]) -> Path:
    """As most people export: normalised float RGB in, logits out."""
    torch.onnx.export(net.eval(), (torch.zeros(1, 3, *size_wh[::-1]),), str(path), dynamo=False, input_names=["x"],
                      dynamic_axes={"x": {0: "B"}})
    return path


def network(name: str) -> nn.Module:
    from safetensors.torch import load_file

    card = CARDS[name]
    net = build(card.net, **card.config)
    weights = load_file(Path(__file__).parent.parent / "weights" / card.file)
    net.load_state_dict({name: values.float() for name, values in weights.items()})
    return net


@pytest.fixture(scope="module")
def photograph() -> Image:
    package = find_spec("skimage")
    assert package is not None
    return cv2.imread(str(Path(package.submodule_search_locations[0]) / "data/chelsea.png"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(network("mobilenet-v2"), tmp_path_factory.mktemp("c") / "mine.onnx", (224, 224))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = "fpn-lite0-camvid"
    return exported(network(name), tmp_path_factory.mktemp("s") / "mine.onnx", CARDS[name].input.size_wh)


def test_a_classifier_without_a_card_is_read_as_most_are_trained(classifier: Path, photograph: Image) -> None:
    with Classifier.load(classifier, precision="fp32") as mine, Classifier.load(precision="fp32") as shipped:
        assert mine.names == shipped.names
        np.testing.assert_allclose(mine(photograph).probs, shipped(photograph).probs, atol=1e-3)
        assert shipped.names[mine(photograph).top(1)[0][0]].endswith("cat")


def test_a_segmenters_card_names_its_classes(segmenter: Path, photograph: Image) -> None:
    card = CARDS["fpn-lite0-camvid"]
    beside = segmenter.with_suffix(".toml")
    text = written(segmenter).replace('"class 0"', '"sky"')          # what is wrong is mended by hand
    for key in ("mean", "std"):
        text = re.sub(rf"(?m)^{key} = .*", f"{key} = {list(getattr(card.input, key))}", text)
    beside.write_text(text, encoding="utf-8")
    with Segmenter.load(segmenter, precision="fp32") as mine, Segmenter.load(card, precision="fp32") as ours:
        assert mine.names[:2] == ("sky", "class 1")
        assert mine.card.input.size_wh == card.input.size_wh
        same = mine(photograph).labels == ours(photograph).labels
        assert same.mean() > 0.999
    beside.unlink()


def test_the_command_writes_what_is_read(classifier: Path, tmp_path: Path) -> None:
    out = classifier.with_suffix(".toml")
    done = CliRunner().invoke(app, ["models", "card", str(classifier)])
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8") in done.output
    assert find(classifier) == card_beside(classifier)
    before = find(classifier)
    out.unlink()
    assert find(classifier).config | {"channels": "RGB"} == before.config      # it says what the graph says
    out.write_text('mean = [0.5, 0.5, 0.5]\nresize = "stretch"\nclasses = "imagenet"\nmin_score = 0.5\n')
    card = find(classifier, "classify")
    assert (card.input.mean, card.input.resize, card.min_score) == ((0.5,) * 3, "stretch", 0.5)
    again = CliRunner().invoke(app, ["models", "card", str(classifier)])
    assert again.exit_code != 0
    assert "is there already" in str(again.exception) + again.output
    out.unlink()


@pytest.mark.parametrize(("text", "what"), [
    ("task = 7", "is for '7'"), ("tusk = 'detect'", "unknown key 'tusk'. Nearest: task"),
    ("size = [1", "cannot be read"), ("size = [640]", "size_wh"), ("mean = 'x'", "mean"),
    ("std = [0.0, 1.0, 1.0]", "std not be 0"),
    ("classes = '../../secret'", "no list of classes"), ("resize = 'squash'", "resize"),
    ("channels = 'GRAY'", "RGB or BGR"), ("finish = 'relu'", "finish is softmax"), ("min_score = 3", "0..1"),
    ("task = 'segment'", "puts out (0, 1000)"), ("layout = 4", "NCHW"), ("classes = [1, 2]", "names"),
    ("size = [100000, 100000]", "8192"),
])
def test_a_card_that_is_none_is_told_on_one_line(classifier: Path, text: str, what: str) -> None:
    beside = classifier.with_suffix(".toml")
    beside.write_text(text, encoding="utf-8")
    try:
        with pytest.raises((ModelError, WeightsError), match=re.escape(what)) as told:
            find(classifier)
        assert "\n" not in str(told.value)
    finally:
        beside.unlink()


def test_more_classes_than_a_byte_names_are_refused(tmp_path: Path) -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    path = exported(nn.Conv2d(3, 257, 1), tmp_path / "many.onnx", (8, 8))
    with pytest.raises(ModelError, match=r"'many\.onnx' tells 257 classes apart; a label is a byte, of at most 256"):
        Segmenter.load(path, device="cpu", precision="fp32", backend="onnxruntime")(black)
    most = nn.Conv2d(3, 256, 1)
    nn.init.zeros_(most.weight)
    most.bias = nn.Parameter(torch.arange(256.0))
    exported(most, path, (8, 8))
    with Segmenter.load(path, device="cpu", precision="fp32", backend="onnxruntime") as segmenter:
        assert (segmenter(black).labels == 255).all()


def test_a_model_of_another_task_is_told(classifier: Path, segmenter: Path) -> None:
    assert (guessed(classifier), guessed(segmenter)) == ("classify", "segment")
    with pytest.raises(ModelError, match="is a model for classify, not for detect"):
        Detector.load(classifier)
    with pytest.raises(ModelError, match="one of detect, instances, pose, classify, segment"):
        written(classifier, "faces")
