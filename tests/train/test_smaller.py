"""Classifiers made smaller: fewer channels that the card describes, and what a teacher teaches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from vision.card import Card, card_of
from vision.engine.program import program_of
from vision.errors import DataError, ModelError, UsageError, WeightsError
from vision.nets import build
from vision.nets.narrow import narrow, widths
from vision.tasks.classify import Classifier
from vision.train.classify import ClassifySettings
from vision.train.distil import Features, Teacher
from vision.train.refit import refit
from vision.train.training import Training

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
TINY = ClassifySettings(
    model="resnet20-32", epochs=3, batch=8, lr=4e-3, freeze_epochs=0, hold_out=0.25, warmup=0.0, colour=0.1, shift=2,
    threads=1)
HUES = {"red": (40, 40, 220), "green": (40, 200, 60), "blue": (220, 60, 40)}


def coloured(root: Path, folders: dict[str, str]) -> Path:
    """Twelve pictures of each hue in the folder that is named for it."""
    for label, (name, hue) in enumerate(HUES.items()):
        (root / folders[name]).mkdir(parents=True)
        for i in range(12):
            noise = np.random.default_rng(100 * label + i).integers(-30, 30, (36, 40, 3))
            cv2.imwrite(str(root / folders[name] / f"{i}.png"), np.clip(np.array(hue) + noise, 0, 255).astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def hues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured(tmp_path_factory.mktemp("hues"), {name: name for name in HUES})


@pytest.fixture(scope="module")
def whole(hues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-20 that knows the hues."""
    trained = Training("classify", hues, tmp_path_factory.mktemp("runs") / "whole", TINY).run()
    assert trained.figures["top1"] == 1.0
    return trained.weights


def macs(card: Card) -> float:
    net = build(card.net, **card.config).eval()
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))
    return counted.get_total_flops() / 2


# fewer channels

def test_widths_say_what_is_narrower_and_make_it_again() -> None:
    first, other = (build("classic", arch="resnet20-32", classes=3) for _ in range(2))
    names = [name for name, layer in first.named_modules() if isinstance(layer, torch.nn.Conv2d)]
    wanted = {names[0]: [8, 0, 0]}
    narrow(first, wanted)
    assert (first.get_submodule(names[0]).weight.shape, widths(first, other)) == ((8, 3, 3, 3), wanted)
    assert widths(other, build("classic", arch="resnet20-32", classes=3)) == {}
    for wrong, told in (
        ({names[0]: [17, 0, 0]}, "another network"), ({names[0]: [8]}, "another network"),
        ({"nowhere": [8, 3, 1]}, "no such layer"), ("nothing", "a layer's name each"),
        ({names[0]: [-1, 0, 0]}, "another network"),
        ({names[0]: ["8", 0, 0]}, "another network"), ({names[0]: [8, 0, 2]}, "another network"),
    ):
        with pytest.raises(ModelError, match=told):
            build("classic", arch="resnet20-32", classes=3, widths=wrong)


def test_a_pruned_network_does_half_the_work_and_opens_again(hues: Path, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning", reason="pruning needs the extra 'compress'")
    from vision.train.smaller import smaller

    made, trained = smaller(str(whole), hues, tmp_path / "run", 0.5, replace(TINY, epochs=2))
    card, before = card_of(trained.weights), card_of(whole)
    assert made.before == pytest.approx(macs(before), rel=0.02)          # counted by another hand
    assert made.after == pytest.approx(macs(card), rel=0.05)
    assert macs(card) <= 0.5 * macs(before)
    assert card.config["arch"] == "resnet20-32"
    assert len(card.config["widths"]) > 5
    assert trained.figures["top1"] == 1.0
    count = [sum(t.numel() for t in load_file(path).values()) for path in (trained.weights, whole)]
    assert count[0] < 0.7 * count[1]
    image = cv2.imread(str(hues / "green" / "3.png"))
    seen = []
    for backend in ("torch", "openvino"):
        with Classifier.load(trained.weights, "cpu", "fp32", backend) as model:
            seen.append(model(image).probs)
    assert card.classes[int(seen[0].argmax())] == "green"
    np.testing.assert_allclose(*seen, atol=1e-3)
    again = Training("classify", hues, tmp_path / "again", replace(TINY, epochs=1, model=str(trained.weights))).run()
    assert card_of(again.weights).config["widths"] == card.config["widths"]
    _undescribed(trained.weights, tmp_path / "bare.safetensors")


def _undescribed(pruned: Path, bare: Path) -> None:
    """The same weights under a card that does not say that they were pruned."""
    card = card_of(pruned)
    config = {key: value for key, value in card.config.items() if key != "widths"}
    save_file(load_file(pruned), bare, {"card": replace(card, config=config).to_json()})
    with pytest.raises(WeightsError, match=r"narrower than the card says \(.*weight.*It was pruned, and its card does"):
        program_of(card_of(bare)).module()


def test_what_cannot_be_pruned_is_told(hues: Path, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning", reason="pruning needs the extra 'compress'")
    from vision.train.smaller import smaller

    with pytest.raises(UsageError, match="'gfl-voc' is a network for detect"):
        smaller("gfl-voc", hues, tmp_path / "run", 0.5, TINY)
    with pytest.raises(DataError, match="has the classes blue, green, red, and 'mobilenet-v2' knows tench"):
        smaller("mobilenet-v2", hues, tmp_path / "run", 0.5, TINY)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").touch()
    with pytest.raises(UsageError, match="holds a run already"):
        smaller(str(whole), hues, tmp_path / "run", 0.5, TINY)


def test_a_layer_that_lost_inputs_says_what_it_said_where_they_can_be_made_of_the_rest() -> None:
    torch.manual_seed(0)

    def net(width: int) -> torch.nn.Sequential:
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, width, 3, 2, 1), torch.nn.Conv2d(width, 5, 1, bias=False), torch.nn.BatchNorm2d(5),
        ).eval()

    whole, small = net(8), net(4)
    with torch.no_grad():
        whole[0].weight[4:] = 2 * whole[0].weight[:4]    # the second half says twice what the first one does, and one
        whole[0].bias[4:] = 2 * whole[0].bias[:4] + 1    # more: only the norm can make up for that
        small[0].load_state_dict({name: value[:4] for name, value in whole[0].state_dict().items()})
    pictures = [torch.randn(4, 3, 16, 16) for _ in range(3)]
    fresh = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        before = (small(fresh) - whole(fresh)).abs().mean().item()
        assert refit(small, whole, pictures) == ["1"]
        after = (small(fresh) - whole(fresh)).abs().max().item()
    assert before > 0.1
    assert after < 0.01


# teachers

def test_the_loss_is_the_softened_divergence(whole: Path, hues: Path) -> None:
    names = ("red", "blue")                              # some of its classes, in another order
    pictures = torch.from_numpy(np.stack([
        cv2.resize(cv2.imread(str(hues / name / "1.png")), (32, 32))[..., ::-1].copy() for name in HUES
    ])).permute(0, 3, 1, 2)
    teacher = Teacher(str(whole), names, temperature=2.0)
    logits = torch.tensor([[0.3, -0.2], [1.0, 0.5], [-0.7, 0.1]], requires_grad=True)
    loss = teacher.loss(logits, pictures)
    with Classifier.load(whole) as model:
        probs = np.stack([model(p.permute(1, 2, 0).numpy()[..., ::-1].copy(), crop="stretch").probs for p in pictures])
    soft = probs[:, [model.names.index(name) for name in names]] ** (1 / 2.0)
    soft /= soft.sum(1, keepdims=True)
    mine = F.softmax(logits.detach() / 2.0, 1).numpy()
    assert loss.item() == pytest.approx(4 * np.mean((soft * np.log(soft / mine)).sum(1)), rel=1e-3)
    loss.backward()
    wanted = 2.0 / 3 * (mine - soft)                     # T times the difference of the softened ones, over B
    np.testing.assert_allclose(logits.grad.numpy(), wanted, atol=1e-3)
    teacher.close()


def test_a_student_learns_what_the_teacher_sees_whatever_labels_say(
    whole: Path, tmp_path: Path
) -> None:
    wrong = coloured(tmp_path / "wrong", {"red": "green", "green": "blue", "blue": "red"})
    settings = replace(TINY, model="lenet5", lr=2e-3, epochs=6, teacher=str(whole), teaching=1.0, temperature=2.0)
    trained = Training("classify", wrong, tmp_path / "run", settings).run()
    assert trained.figures["top1"] == 0.0                # of labels that are all wrong
    card = card_of(trained.weights)
    assert card.source.endswith(f"pictures, taught by {whole}")
    with Classifier.load(trained.weights, "cpu") as model:
        for folder, hue in (("green", "red"), ("blue", "green"), ("red", "blue")):
            assert model.names[int(model(cv2.imread(str(wrong / folder / "5.png"))).probs.argmax())] == hue


def test_features_are_equal_in_the_same_network_and_learnt_by_another_one(whole: Path) -> None:
    card = card_of(whole)
    same, other = build(card.net, **card.config).eval(), build(card.net, **card.config).eval()
    same.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in load_file(whole).items()})
    x = torch.randn(2, 3, 32, 32)
    losses = []
    for student in (same, other):
        features = Features(str(whole), student)
        student(x)
        losses.append(features.loss(x))
    assert losses[0].item() == pytest.approx(0, abs=1e-6)
    assert losses[1].item() > 0.5
    losses[1].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in other.parameters())
    with pytest.raises(UsageError, match=r"no layer of .* has the name and the width"):
        Features(str(whole), build("classic", arch="lenet5", classes=3))


def test_a_teacher_that_cannot_be_is_refused(hues: Path, whole: Path, tmp_path: Path) -> None:
    for settings, kind, told in (
        (replace(TINY, teacher="gfl-voc"), ModelError, "is a model for detect, not for classify"),
        (replace(TINY, teacher="nowhere.onnx"), WeightsError, "there is no file 'nowhere.onnx'"),
        (replace(TINY, features=1.0), UsageError, "features are a teacher's: --teacher MODEL"),
        (replace(TINY, teacher=str(whole), mixup=0.2), UsageError, "leave multilabel, mixup and cutmix out"),
    ):
        with pytest.raises(kind, match=told):
            Training("classify", hues, tmp_path / "run", settings)
    with pytest.raises(UsageError, match="does not know blue, green, red"):
        Training("classify", hues, tmp_path / "run", replace(TINY, teacher="mobilenet-v2")).run()


def test_a_teacher_may_be_an_onnx_file(hues: Path, whole: Path, tmp_path: Path) -> None:
    from vision.export import export

    image = cv2.imread(str(hues / "red" / "1.png"))
    made = export(str(whole), tmp_path / "teacher.onnx", [image])
    pictures = torch.from_numpy(cv2.resize(image, (32, 32))[..., ::-1].copy()).permute(2, 0, 1)[None]
    looks = []
    for model in (str(whole), str(made.path)):
        teacher = Teacher(model, ("red", "green", "blue"), 4.0)
        looks.append(teacher.look(pictures).numpy())
        teacher.close()
    np.testing.assert_allclose(np.exp(looks[0]), np.exp(looks[1]), atol=0.02)
