"""Training: it learns, it resumes exactly, and it says what is wrong."""

from __future__ import annotations

import json
import logging
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from tests.boarded import board_lacks
from vision.card import card_of
from vision.data.segmentation import find_pairs
from vision.errors import DataError, ModelError, UsageError, WeightsError
from vision.tasks.segment import Segmenter
from vision.train.loading import loaders
from vision.train.recipe import Trained
from vision.train.segment import SegmentSettings
from vision.train.segmentation import SegmentationSet, augmentation
from vision.train.start import load_encoder
from vision.train.training import Training

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

SETTINGS = SegmentSettings(
    model="fcn8s:mobilenet_v2", size=(64, 48), crop=(64, 64), area=(0.5, 1.0), balance="median", balance_power=1.0,
    dice=0.5, encoder_weights="none", backbone_lr=1.0, weight_decay=0.01, epochs=2, batch=8, lr=3e-3, warmup=0.0,
    ema=0.9, clip=5.0, seed=3,
)


def train(
    data: Path, folder: Path, settings: SegmentSettings = SETTINGS, resume: bool = False
) -> Trained:
    return Training("segment", data, folder, settings, resume=resume).run()


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def whole(rectangles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    train(rectangles, folder)
    return folder


class Killed(Exception):
    """Stands for a kill that Python cannot answer: nothing of the run may tidy up after it."""


def test_two_epochs_lower_the_loss_and_leave_a_model_that_opens(whole: Path) -> None:
    first, second = curve(whole)
    assert second["train/cross_entropy"] < first["train/cross_entropy"]
    assert second["train/dice"] < first["train/dice"]
    card = card_of(whole / "best.safetensors")
    assert card.classes == ("ground", "block", "other")
    assert (card.task, card.net, card.input.size_wh) == ("segment", "fcn8s", (64, 48))
    result = Segmenter.load(whole / "best.safetensors", backend="torch")(np.zeros((48, 64, 3), np.uint8))
    assert result.labels.shape == (48, 64)


def test_others_may_read_the_weights(whole: Path) -> None:
    best, log = (stat.S_IMODE((whole / n).stat().st_mode) for n in ("best.safetensors", "curve.jsonl"))
    assert best == log                                               # as the umask has it; it was 0600


def test_the_log_has_the_curve_and_pictures_of_predictions(whole: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(whole / "log"))
    log.Reload()
    told = [event.value for event in log.Scalars("val/miou")]
    assert told == pytest.approx([line["val/miou"] for line in curve(whole)])
    pictures = log.Images("val/predictions")
    assert board_lacks(whole) == set()
    assert len(pictures) == 2                                # one grid an epoch, of pictures 64 wide
    assert pictures[0].width % 64 == 0
    assert pictures[0].height % (3 * 48) == 0


def test_the_weights_carry_every_setting_and_the_figures(whole: Path) -> None:
    from safetensors import safe_open

    with safe_open(whole / "best.safetensors", "numpy") as file:
        notes = json.loads(file.metadata()["training"])
    assert notes["settings"]["lr"] == SETTINGS.lr
    assert notes["settings"]["balance"] == "median"
    best = max(line["val/miou"] for line in curve(whole))
    assert notes["figures"]["miou"] == pytest.approx(best, abs=1e-6)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(
    rectangles: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vision.train.learner import Learner

    honest = Learner.training_step

    def dies(self: Learner, batch: object, index: int) -> torch.Tensor:
        if self.current_epoch == 1 and index == 1:
            raise Killed
        return honest(self, batch, index)

    monkeypatch.setattr(Learner, "training_step", dies)
    with pytest.raises(Killed):
        train(rectangles, tmp_path / "run")
    monkeypatch.setattr(Learner, "training_step", honest)
    torch.manual_seed(99)                                    # nothing may hang on where the process was
    with (tmp_path / "run" / "curve.jsonl").open("a") as half:
        half.write('{"epoch": 1, "lo')                       # of the epoch that has no checkpoint
    train(rectangles, tmp_path / "run", resume=True)
    expected, got = weights_of(whole), weights_of(tmp_path / "run")
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        assert torch.equal(value, got[name]), name
    assert [line["epoch"] for line in curve(tmp_path / "run")] == [0, 1]


def test_loading_processes_change_nothing(rectangles: Path) -> None:
    data = SegmentationSet(find_pairs(rectangles, "train"), augmentation(SETTINGS))
    alone, helped = (loaders(data, data, replace(SETTINGS, workers=n))[0] for n in (0, 1))
    for (a, a_labels), (b, b_labels) in zip(alone, helped, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a_labels, b_labels)


def test_a_resume_with_other_settings_names_them(rectangles: Path, whole: Path) -> None:
    with pytest.raises(UsageError, match=r"lr 0\.003 -> 0\.01"):
        train(rectangles, whole, replace(SETTINGS, lr=0.01), resume=True)
    with pytest.raises(UsageError, match=r"dice 0\.5 -> 0\.0"):
        train(rectangles, whole, replace(SETTINGS, dice=0.0), resume=True)


def test_a_checkpoint_of_another_network_is_told(rectangles: Path, whole: Path) -> None:
    with pytest.raises(WeightsError, match="checkpoint of fcn8s:mobilenet_v2, not of segnet:mobilenet_v2"):
        train(rectangles, whole, replace(SETTINGS, model="segnet:mobilenet_v2"), resume=True)
    other = replace(SETTINGS, model="segnet:mobilenet_v2", weights=whole / "best.safetensors")
    with pytest.raises(WeightsError, match=r"best\.safetensors' has the weights of another network: \d+ of"):
        train(rectangles, whole.parent / "x", other)


def test_a_folder_with_a_run_is_not_overwritten(rectangles: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds a run already"):
        train(rectangles, whole)
    with pytest.raises(WeightsError, match=r"no last\.ckpt"):
        train(rectangles, tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_with_the_batch_saved(
    rectangles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vision.train import losses

    def broken(logits: torch.Tensor, *rest: object) -> torch.Tensor:
        return logits.sum() * float("nan")

    monkeypatch.setattr(losses, "cross_entropy", broken)
    with pytest.raises(DataError, match="not a number at epoch 0, batch 0"):
        train(rectangles, tmp_path / "run")
    saved = torch.load(tmp_path / "run" / "nan_batch.pt", weights_only=True)
    pictures, labels = saved["batch"]
    assert pictures.shape == (8, 3, 64, 64)
    assert labels.shape == (8, 64, 64)


@pytest.mark.slow
def test_another_recipe_learns_too(rectangles: Path, tmp_path: Path) -> None:
    train(rectangles, tmp_path / "run", replace(
        SETTINGS, optimiser="sgd", lr=0.05, schedule="poly", precision="bfloat16", ema=0.0, clip=0.0,
        model="segnet:mobilenet_v2", balance="none",
    ))
    first, second = curve(tmp_path / "run")
    assert second["train/cross_entropy"] < first["train/cross_entropy"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="float16 is fine here")
def test_float16_on_a_cpu_is_told(rectangles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bfloat16"):
        train(rectangles, tmp_path / "run", replace(SETTINGS, precision="float16"))


def test_early_stopping_stops(rectangles: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=6, lr=1e-12, ema=0.0, patience=1, frozen=("encoder.",))
    run = train(rectangles, tmp_path / "run", settings)
    assert run.epochs < 6


def test_encoder_weights_load_by_name_or_by_order(tmp_path: Path) -> None:
    from torchvision.models import mobilenet_v2

    from vision.nets.fcn import MobileScores

    published = mobilenet_v2(weights=None).state_dict()
    for rename in (lambda name: name, lambda name: "_blocks." + name.replace("features", "x")):
        torch.save({rename(name): value for name, value in published.items()}, tmp_path / "weights.pth")
        encoder = MobileScores()
        load_encoder(encoder, tmp_path / "weights.pth")
        for name, value in encoder.state_dict().items():
            assert name.endswith("num_batches_tracked") or torch.equal(value, published[name]), name
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="weights of another network: 260 of 312 tensors"):
        load_encoder(MobileScores(), tmp_path / "other.pth")


def test_a_model_without_an_encoder_is_told() -> None:
    assert replace(SETTINGS, model="segnet-basic").network(11) == ("segnet-basic", {"classes": 11})
    assert replace(SETTINGS, model="unet:mobilenet_v2").network(2)[1]["encoder"] == "mobilenet_v2"
    with pytest.raises(ModelError, match="unet:mobilenet_v2"):
        replace(SETTINGS, model="unet").network(3)


def test_held_out_pictures_may_have_sizes_of_their_own(rectangles: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(rectangles, data)
    pairs = find_pairs(data, "val")
    larger = [cv2.resize(cv2.imread(str(p), cv2.IMREAD_UNCHANGED), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
              for p in (pairs.pictures[0], pairs.maps[0])]
    first = train(data, tmp_path / "alike").figures
    for path, image in zip((pairs.pictures[0], pairs.maps[0]), larger, strict=True):
        assert cv2.imwrite(str(path), image)
    assert train(data, tmp_path / "mixed").figures["miou"] == pytest.approx(first["miou"], abs=0.1)


def test_the_last_epoch_is_judged_and_no_figure_is_told_twice(rectangles: Path, tmp_path: Path) -> None:
    trained = train(rectangles, tmp_path / "run", replace(SETTINGS, epochs=3, val_every=2))
    assert ["val/miou" in line for line in curve(tmp_path / "run")] == [False, True, True]
    assert trained.epochs == 3
    first, second = (line["val/miou"] for line in curve(tmp_path / "run")[1:])
    assert trained.figures["miou"] == pytest.approx(max(first, second))


def test_weights_that_are_no_numbers_are_not_kept(rectangles: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(weights are not numbers after epoch|loss is not a number at epoch)"):
        train(rectangles, tmp_path / "run", replace(SETTINGS, lr=1e30, clip=0.0, ema=0.0))
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_a_checkpoint_that_is_broken_or_of_another_network(whole: Path, rectangles: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    last = tmp_path / "run" / "last.ckpt"
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="no checkpoint that can be read"):
        train(rectangles, tmp_path / "run", replace(SETTINGS, epochs=3), resume=True)
    other = torch.load(whole / "last.ckpt", weights_only=True)
    other["state_dict"] = {f"x.{name}": value for name, value in other["state_dict"].items()}
    torch.save(other, last)
    with pytest.raises(WeightsError, match="of another network"):
        train(rectangles, tmp_path / "run", replace(SETTINGS, epochs=3), resume=True)


@pytest.mark.parametrize(("frozen", "said"), [
    (("nonsense.",), r"no layer's name begins with 'nonsense\.'"), (("e", "d", "s", "c"), "no layer|nothing to learn"),
])
def test_what_freezes_nothing_or_everything(
    frozen: tuple[str, ...], said: str, rectangles: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        train(rectangles, tmp_path / "run", replace(SETTINGS, frozen=frozen))
