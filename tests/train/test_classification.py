"""`vision train classify`: what is read and refused, what a picture becomes, the losses, and runs."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from tests.boarded import board_lacks
from vision.card import Card, Input
from vision.data.pictures import dealt, held_out, read_pictures
from vision.errors import DataError, ModelError, UsageError, WeightsError
from vision.nets import build
from vision.tasks.classify import Classifier
from vision.train.classification import Classification, start
from vision.train.classify import RECIPE, ClassifySettings
from vision.train.initialise import initialise
from vision.train.lr_finder import found
from vision.train.optim import Plateau, optimiser, schedule
from vision.train.picture_set import HeldOutPictures, TrainPictures
from vision.train.training import Training

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
TINY = ClassifySettings(
    model="lenet5", epochs=3, batch=8, lr=2e-3, freeze_epochs=0, hold_out=0.25, warmup=0.0, colour=0.1, shift=2)
HUES = {"red": (40, 40, 220), "green": (40, 200, 60), "blue": (220, 60, 40)}


def picture(hue: Sequence[int], seed: int, size: tuple[int, int] = (40, 36)) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-30, 30, (size[1], size[0], 3))
    return np.clip(np.array(hue) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def hues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of each of three colours, a folder each; a name begins with its day."""
    root = tmp_path_factory.mktemp("hues")
    for label, (name, hue) in enumerate(HUES.items()):
        (root / name).mkdir()
        for i in range(12):
            cv2.imwrite(str(root / name / f"day{i % 4}_{i}.png"), picture(hue, 100 * label + i))
    return root


def rows(path: Path, lines: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return path


# what is read

def test_folders_are_classes_and_a_group_is_never_in_two_parts(hues: Path) -> None:
    whole, held = read_pictures(hues, r"(day\d)_")
    assert (held, whole.names, whole.counts) == (None, ("blue", "green", "red"), (12, 12, 12))
    pairs = dealt(whole, 4)
    for learned, out in pairs:
        assert set(learned.groups) & set(out.groups) == set()
        assert (len(learned), len(out), out.counts) == (27, 9, (3, 3, 3))
    assert sorted(p for _, out in pairs for p in out.paths) == sorted(whole.paths)
    learned, out = held_out(read_pictures(hues)[0], 0.25)
    assert (learned.counts, out.counts) == ((9, 9, 9), (3, 3, 3))
    with pytest.raises(DataError, match="5 parts of 4 groups cannot be"):
        dealt(whole, 5)
    few = whole.part([i for i, name in enumerate(whole.paths) if name.stem[-2:] in ("_0", "_1", "_2")])
    learned, out = held_out(few, 0.2)
    assert (learned.counts, out.counts) == ((2, 2, 2), (1, 1, 1))
    with pytest.raises(DataError, match="no class has more than 3 pictures"):
        dealt(replace(few, groups=tuple(map(str, range(9)))), 5)
    with pytest.raises(DataError, match="too few pictures to hold some out: two of a class at least"):
        held_out(whole.part([0, 12, 24]), 0.2)
    with pytest.raises(DataError, match="does not match"):
        read_pictures(hues, "night")
    with pytest.raises(DataError, match="is a regular expression"):
        read_pictures(hues, "(")


def test_a_csv_says_label_split_and_group_and_what_is_not_there_is_told(hues: Path) -> None:
    listed = rows(hues / "list.csv", [
        ["file", "label", "split", "group"], ["red/day0_0.png", "warm", "train", "a"],
        ["blue/day0_0.png", "cold", "train", "b"], ["red/day1_1.png", "warm", "val", "c"], ["gone.png", "cold", "", ""],
    ])
    train, val = read_pictures(listed)
    assert val is not None
    assert (train.names, train.labels, train.groups) == (("cold", "warm"), ((1,), (0,)), ("a", "b"))
    assert (val.labels, train.summary()) == (((1,),), ["rows without a picture, left out: 1, first 'gone.png'"])
    tried = rows(hues / "tried.csv", [["file", "label", "split"], *(
        [f"{hue}/day{i}_{i}.png", hue, split] for hue in ("red", "blue")
        for i, split in enumerate(("train", "test", "val", "train")))])
    train, val = read_pictures(tried)
    assert val is not None
    assert [len(train), {path.name for path in val.paths}] == [4, {"day2_2.png"}]     # nothing is chosen by the test
    assert train.summary() == ["rows of 'test', left out: 2"]
    several = rows(hues / "several.csv", [["file", "label"], ["red/day0_0.png", "warm|noisy"], ["blue/day0_0.png", ""],
                                          ["green/day0_0.png", "noisy"]])
    train, _ = read_pictures(several, multilabel=True)
    assert (train.names, train.labels) == (("noisy", "warm"), ((0, 1), (), (0,)))
    with pytest.raises(DataError, match="listed in a CSV"):
        read_pictures(hues, multilabel=True)


def test_bad_data_is_one_clear_line(tmp_path: Path, hues: Path) -> None:
    (tmp_path / "one" / "cat").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "one" / "cat" / "a.png"), picture((1, 2, 3), 0))
    with pytest.raises(DataError, match="has one class, 'cat'"):
        read_pictures(tmp_path / "one")
    (tmp_path / "one" / "dog").mkdir()
    with pytest.raises(DataError, match="without a picture to learn from: dog"):
        read_pictures(tmp_path / "one")
    for split, names in (("train", ("a", "b")), ("val", ("a", "c"))):
        for name in names:
            (tmp_path / "two" / split / name).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / "two" / split / name / "x.png"), picture((1, 2, 3), 0))
    with pytest.raises(DataError, match="has the classes c, which the pictures to learn from do not have"):
        read_pictures(tmp_path / "two")
    with pytest.raises(DataError, match="no folders of pictures"):
        read_pictures(tmp_path / "two" / "train" / "a")


@pytest.mark.parametrize(("options", "error", "line"), [
    ({"model": "resnet19"}, ModelError, "no network 'resnet19' to train. Nearest: resnet1"),
    ({"model": "gone.safetensors"}, WeightsError, "there are no weights at 'gone.safetensors'"),
    ({"mixup": 0.2, "multilabel": True}, UsageError, "mixup and cutmix are for one class a picture"),
    ({"init": "he"}, UsageError, "init he is for a network without weights"),
])
def test_what_cannot_be_is_refused_before_torch(options: dict[str, Any], error: type[Exception], line: str) -> None:
    with pytest.raises(error, match=line):
        RECIPE.settle(ClassifySettings(**options))


def test_a_network_without_dropout_or_for_another_size_is_refused() -> None:
    for options, line in (({"dropout": 0.2}, "no dropout layers"), ({"stochastic_depth": 0.1}, "no residual blocks"),
                          ({"side": 64}, "does not take pictures of 64x64")):
        with pytest.raises(UsageError, match=line):
            start(ClassifySettings(model="lenet5", **options), ("a", "b"), "x", 2)


# what a picture becomes

def sets(hues: Path, **options: Any) -> tuple[TrainPictures, HeldOutPictures]:
    settings = replace(TINY, **options)
    card = start(settings, ("blue", "green", "red"), "x", 2)[1]
    learned, out = held_out(read_pictures(hues)[0], 0.25)
    return TrainPictures(learned, card, settings), HeldOutPictures(out, card, False)


def test_an_item_depends_on_its_key_alone(hues: Path) -> None:
    for options in ({}, {"shift": 0}, {"policy": "randaugment"}, {"policy": "augmix", "erase": 1.0}):
        one, other = sets(hues, **options)[0], sets(hues, **options)[0]
        torch.rand(3)
        x, label = one[5, 77]
        y, _ = other[5, 77]
        assert (x.shape, x.dtype) == ((3, 32, 32), torch.uint8)
        assert torch.equal(x, y)
        assert not torch.equal(x, one[5, 78][0])
        assert int(label) == one.pictures.labels[5][0]


def test_without_changes_a_picture_is_what_is_seen_in_use(hues: Path) -> None:
    train, _ = sets(hues, shift=0, area=(1.0, 1.0), colour=0.0, flip=0.0)
    held = HeldOutPictures(train.pictures, start(TINY, ("blue", "green", "red"), "x", 2)[1], False)
    assert torch.equal(train[3, 0][0], held[3, 0][0])
    flipped, _ = sets(hues, shift=0, area=(1.0, 1.0), colour=0.0, flip=1.0)
    assert torch.equal(flipped[3, 0][0], held[3, 0][0].flip(2))


def test_balanced_sampling_draws_classes_alike(hues: Path) -> None:
    train, _ = sets(hues, balance="sampling")
    rare = [i for i, labels in enumerate(train.pictures.labels) if labels != (2,)]
    train = TrainPictures(train.pictures.part([*rare, len(train) - 1]), start(TINY, ("b", "g", "r"), "x", 2)[1],
                          replace(TINY, balance="sampling"))
    drawn = torch.tensor([int(train[0, seed][1]) for seed in range(600)]).bincount()
    assert drawn.min() > 150                             # of 200 each; one picture in nineteen is the third's


def test_a_broken_picture_is_named_counted_and_passed_over(
    hues: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            cv2.imwrite(str(tmp_path / name / f"{i}.png"), picture(HUES["red"], i))
    (tmp_path / "a" / "1.png").write_bytes(b"no picture")
    deep = np.full((40, 800, 4), 40_000, np.uint16)      # 1:20, 16 bits, alpha
    cv2.imwrite(str(tmp_path / "b" / "1.png"), deep)
    whole, _ = read_pictures(tmp_path)
    card = start(TINY, ("a", "b"), "x", 2)[1]
    train = TrainPictures(whole, card, TINY)
    items = [train[i, 0] for _ in range(2) for i in range(6)]
    assert [int(label) for _, label in items[:6]] == [0, 0, 0, 1, 1, 1]
    assert train.decoded.broken == {1}
    assert caplog.text.count("passed over, 1 so far") == 1
    assert "1.png" in caplog.text


# losses, rates, beginnings

def objective(**options: Any) -> Classification:
    card = Card(name="x", task="classify", file="", licence="", source="", input=Input((32, 32), "crop"),
                names=("a", "b", "c"))
    return Classification(card, ClassifySettings(**options))


def test_losses_are_their_formulas() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    p = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    one_hot = F.one_hot(labels, 3).float()
    wanted = {
        "cross-entropy": -p.log().mean(),
        "focal": ((1 - p) ** 2 * -p.log()).mean(),
        "bce": -(one_hot * logits.sigmoid().log() + (1 - one_hot) * (-logits).sigmoid().log()).sum(1).mean(),
    }
    for name, value in wanted.items():
        torch.testing.assert_close(objective(loss=name).criterion(logits, labels), value)
    torch.testing.assert_close(objective(loss="focal", gamma=0.0).criterion(logits, labels), wanted["cross-entropy"])
    soft = 0.7 * one_hot + 0.3 * one_hot.roll(1, 0)      # as mixed pictures have them
    torch.testing.assert_close(objective().criterion(logits, soft), F.cross_entropy(logits, soft))


def test_mixed_pictures_have_mixed_labels() -> None:
    judge, seen = objective(mixup=1.0), []

    def fake(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return torch.zeros(len(x), 3)

    torch.manual_seed(1)
    pictures = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    pictures[0] = 255
    value = judge.loss(fake, (pictures, torch.tensor([0, 1])))["cross_entropy"]
    white, black = judge.inputs(pictures)[:, 0, 0, 0]
    share = (seen[0][0, 0, 0, 0] - black) / (white - black)
    assert 0.02 < float(share) < 0.98
    assert float(value) == pytest.approx(np.log(3), abs=1e-5)


def test_rates_of_parts_and_of_time() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net.pre_trained = tuple(net[0].parameters())
    made = optimiser(net, ClassifySettings(lr=1.0, backbone_lr=0.1, weight_decay=0.5))
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in made.param_groups for p in g["params"]}
    assert [rates[id(p)] for p in net.parameters()] == [(0.1, 0.5), (0.1, 0.0), (1.0, 0.5), (1.0, 0.0)]
    deep = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(5)))
    made = optimiser(deep, ClassifySettings(lr=1.0, layer_decay=0.5))
    rates = {id(p): g["lr"] for g in made.param_groups for p in g["params"]}
    assert [rates[id(p)] for p in deep.parameters()] == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    cycle = schedule(ClassifySettings(schedule="one-cycle", epochs=2), 100)
    assert (cycle(0), cycle(30), cycle(100)) == pytest.approx((0.04, 1.0, 4e-6))
    assert max(map(cycle, range(101))) == cycle(30)


def test_a_plateau_lowers_the_rate_and_max_norm_shortens() -> None:
    plateau = Plateau(2)
    factors = []
    for figure in (0.1, 0.2, 0.2, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1):
        plateau.take(figure)
        factors.append(round(float(plateau.factor), 4))
    assert factors == [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001]
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0, 4], [0.1, 0, 0]]))
    made = optimiser(layer, ClassifySettings(max_norm=2.0, lr=1e-9, weight_decay=0.0))
    layer(torch.zeros(1, 3)).sum().backward()
    made.step()
    torch.testing.assert_close(layer.weight.norm(dim=1), torch.tensor([2.0, 0.1]), rtol=1e-4, atol=1e-4)


def test_beginnings_by_name() -> None:
    torch.manual_seed(0)
    net = build("classic", arch="vgg-32", classes=4)
    batch = torch.randn(16, 3, 32, 32)
    spreads: dict[str, list[float]] = {}
    for way in ("zero", "normal", "xavier", "he", "orthogonal", "lsuv"):
        initialise(net, way, batch)
        given: list[float] = []
        hooks = [layer.register_forward_hook(lambda m, i, o, given=given: given.append(float(o.std())))
                 for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        with torch.no_grad():
            net.eval()(batch)
        for hook in hooks:
            hook.remove()
        spreads[way] = given
    assert set(spreads["zero"]) == {0.0}
    assert spreads["normal"][-1] < 1e-6                  # the signal is gone: why deep networks did not learn
    assert 0.2 < spreads["he"][-1] < 5
    assert spreads["lsuv"] == pytest.approx([1.0] * 10, abs=0.08)


# runs

def log_image(board: Any, tag: str) -> np.ndarray:
    """The last picture of a tag, (H,W,3) RGB."""
    data = np.frombuffer(board.Images(tag)[-1].encoded_image_string, np.uint8)
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def test_a_run_learns_colours_and_its_weights_classify(hues: Path, tmp_path: Path) -> None:
    settings = replace(TINY, epochs=6, ema=0.5, mixup=0.1, schedule="plateau", threads=1)
    trained = Training("classify", hues, tmp_path / "run", settings).run()
    curve = [json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    assert curve[-1]["train/cross_entropy"] < curve[0]["train/cross_entropy"]
    assert trained.figures["top1"] == pytest.approx(curve[-1]["val/top1"])
    assert trained.figures["top1"] >= 0.8
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "run" / "log"))
    board.Reload()
    tags = board.Tags()
    assert "c1.weight" in tags["histograms"]
    assert board_lacks(tmp_path / "run") == set()
    shown = log_image(board, "val/predictions")
    assert (shown[..., 1].astype(int) - shown[..., 0] > 60).any()          # green lines: what is right
    assert board.Scalars("rate/group0")[0].value > 0
    with Classifier.load(tmp_path / "run", backend="torch") as classifier:
        (scores,) = classifier.batch([picture(HUES["green"], 7)])
        assert classifier.names == ("blue", "green", "red")
        assert scores.probs.sum() == pytest.approx(1, abs=1e-4)


def test_transfer_begins_with_the_last_layer_alone(hues: Path, tmp_path: Path) -> None:
    first = Training("classify", hues, tmp_path / "a", replace(TINY, epochs=1)).run().weights
    before = {n: t.clone() for n, t in build_of(first).items()}
    settings = replace(TINY, model=str(first), freeze_epochs=1, epochs=1, backbone_lr=0.5)
    second = build_of(Training("classify", hues, tmp_path / "b", settings).run().weights)
    assert all(torch.equal(second[n], before[n]) for n in before if not n.startswith("out."))
    assert not torch.equal(second["out.weight"], before["out.weight"])
    third = build_of(Training("classify", hues, tmp_path / "c", replace(settings, epochs=2)).run().weights)
    assert not torch.equal(third["c1.weight"], before["c1.weight"])


def build_of(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_several_classes_a_picture(hues: Path, tmp_path: Path) -> None:
    lines = [["file", "label"]]
    for name, labels in (("red", "warm|loud"), ("green", "loud"), ("blue", "")):
        lines += [[f"{name}/day{i % 4}_{i}.png", labels] for i in range(12)]
    data = rows(hues / "labels.csv", lines)
    settings = replace(TINY, multilabel=True, epochs=8, threads=1)
    trained = Training("classify", data, tmp_path / "run", settings).run()
    assert trained.figures["map"] > 0.9
    with Classifier.load(tmp_path / "run", backend="torch") as classifier:
        probs = classifier(picture(HUES["red"], 5)).probs
    assert probs.sum() > 1                               # each by itself


def test_a_class_of_which_nothing_is_held_out_lowers_no_mean() -> None:
    """Of a perfect answer; torchmetrics' own means take it for a class that is never found."""
    card = Card(name="m", task="classify", file="", licence="", source="", names=("a", "b", "c"), net="m",
                input=Input((8, 8), "stretch"))
    objective = Classification(card, replace(TINY, multilabel=True))
    truth = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    objective._seen += zip(truth * 8.0 - 4.0, truth.float(), strict=True)
    figures = objective.figures()
    assert (figures["map"], figures["f1"]) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "side"), [
    ("timm:convnext_atto", 64), ("timm:mobilenetv4_conv_small.e2400_r224_in1k", 64), ("torchvision:googlenet", 64),
    ("torchvision:mobilenet_v3_small", 64), ("torchvision:shufflenet_v2_x0_5", 64),
])
def test_networks_of_other_libraries_learn_by_name(model: str, side: int) -> None:
    settings = ClassifySettings(model=model, side=side, freeze_epochs=0)
    torch.manual_seed(0)
    net, card = start(settings, ("a", "b", "c"), "x", 6)
    assert card.input.size_wh == (side, side)
    objective, batch = Classification(card, settings), (torch.randint(256, (6, 3, side, side), dtype=torch.uint8),
                                                        torch.tensor([0, 1, 2] * 2))
    steps, losses = torch.optim.Adam(net.parameters(), 1e-3), []
    for _ in range(8):
        steps.zero_grad()
        loss = torch.stack(list(objective.loss(net.train(), batch).values())).sum()
        loss.backward()
        steps.step()
        losses.append(float(loss))
    assert min(losses[1:]) < losses[0]
    assert all(p.grad is not None for p in net.parameters())
    assert net.eval()(objective.inputs(batch[0])).shape == (6, 3)


def test_classes_that_the_network_knows_begin_with_what_it_knows() -> None:
    from vision import zoo
    from vision.engine.program import state_dict
    from vision.train.start import namesakes
    from vision.weights import resolve

    known = zoo.find("mobilenet-v2").classes
    assert namesakes(("Ants", "tyre", "great-white_shark", "glass"), known) == {
        0: known.index("ant"), 2: known.index("great white shark")}
    settings = ClassifySettings()
    net, _ = start(settings, ("ants", "bees", "tyre"), "x", 2)
    old = state_dict(resolve(zoo.find("mobilenet-v2")))
    weight, bias = (old[f"classifier.1.{name}"].float() for name in ("weight", "bias"))
    place = [known.index("ant"), known.index("bee")]
    torch.testing.assert_close(net.classifier[1].weight[:2], weight[place])
    torch.testing.assert_close(net.classifier[1].bias[:2], bias[place])
    torch.testing.assert_close(net.classifier[1].weight[2], weight.mean(0))
    strangers, _ = start(settings, ("tyre", "glass"), "x", 2)
    assert (strangers.classifier[1].weight - weight.mean(0)).abs().max() > 0.01          # as a new layer begins


def test_the_range_test_finds_a_rate_and_leaves_the_network(hues: Path, tmp_path: Path) -> None:
    settings = replace(TINY, find_lr=True)
    net, card = start(settings, ("blue", "green", "red"), "x", 2)
    before = {n: t.clone() for n, t in net.state_dict().items()}
    train, _ = sets(hues)
    rate = found(net, Classification(card, settings), train, settings, tmp_path)
    assert 1e-5 < rate < 0.5
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    assert cv2.imread(str(tmp_path / "lr.png")).shape[2] == 3


@pytest.mark.soak
@pytest.mark.realdata
@pytest.mark.skipif("VISION_SOAK" not in os.environ, reason="eight epochs, two minutes: make soak")
def test_ants_and_bees_in_one_line(data: Path, tmp_path: Path) -> None:
    trained = Training("classify", data / "hymenoptera", tmp_path / "run").run()
    assert trained.figures["top1"] >= 0.94


@pytest.mark.slow
@pytest.mark.realdata
def test_ants_and_bees_after_one_epoch_of_the_last_layer(data: Path, tmp_path: Path) -> None:
    trained = Training("classify", data / "hymenoptera", tmp_path / "run", ClassifySettings(epochs=1)).run()
    assert trained.figures["top1"] >= 0.8
