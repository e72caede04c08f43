"""Snapshots of a run, and the mean of several files' weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from torch import nn

from tests.train.conftest import card
from vision.card import Input, card_of
from vision.cli import app
from vision.engine.program import state_dict
from vision.errors import UsageError, WeightsError
from vision.soup import soup
from vision.train.fit import fit, save_weights
from vision.train.optim import schedule
from vision.train.recipe import Objective, Parts, Recipe
from vision.train.settings import Settings
from vision.train.training import Training


class Net(nn.Module):
    def __init__(self, value: float, width: int = 3) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(width, 2), nn.BatchNorm1d(2)
        nn.init.constant_(self.layer.weight, value)
        self.norm.num_batches_tracked.fill_(int(value * 10))


def file(folder: Path, name: str, net: nn.Module, **more: object) -> Path:
    save_weights(folder / name, net, card(name=name, net="mine", input=Input((32, 32), "stretch"), **more), {})
    return folder / name


def test_weights_are_averaged(tmp_path: Path) -> None:
    paths = [file(tmp_path, f"{v}.safetensors", Net(v)) for v in (1.0, 2.0, 4.0)]
    made = soup(paths, tmp_path / "soup.safetensors", [2, 1, 1])
    tensors = state_dict(tmp_path / "soup.safetensors")
    assert torch.allclose(tensors["layer.weight"], torch.tensor(2.0), atol=1e-3)              # (2 + 2 + 4) / 4
    assert int(tensors["norm.num_batches_tracked"]) == 10                                   # the first one's
    assert card_of(tmp_path / "soup.safetensors").name == made.name == "soup"
    soup(paths, tmp_path / "even.safetensors")
    assert float(state_dict(tmp_path / "even.safetensors")["layer.weight"][0, 0]) == pytest.approx(7 / 3, abs=2e-3)


def test_what_has_no_mean_is_refused(tmp_path: Path) -> None:
    one = file(tmp_path, "one.safetensors", Net(1.0))
    with pytest.raises(UsageError, match="two files or more"):
        soup([one], tmp_path / "s.safetensors")
    with pytest.raises(UsageError, match="each of the 2 files"):
        soup([one, one], tmp_path / "s.safetensors", [1, 0, 2])
    with pytest.raises(WeightsError, match="other layers"):
        soup([one, file(tmp_path, "wide.safetensors", Net(1.0, 5))], tmp_path / "s.safetensors")
    with pytest.raises(WeightsError, match="in its classes"):
        soup([one, file(tmp_path, "named.safetensors", Net(1.0), names=("a", "b"))], tmp_path / "s.safetensors")
    assert not (tmp_path / "s.safetensors").exists()


def test_the_command(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        file(tmp_path / name, "best.safetensors", Net(value))
    runs = [str(tmp_path / name) for name in "ab"]
    given = ["soup", *runs, "-o", str(tmp_path / "s.safetensors"), "--weights", "3,1"]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert "the mean of 2 files" in done.output
    assert float(state_dict(tmp_path / "s.safetensors")["layer.weight"][0, 0]) == 1.5
    for weights in ("inf,1", "nan,1", "-1,2", "0,0"):
        with pytest.raises(UsageError, match="a weight of 0 or more for each"):
            CliRunner().invoke(app, [*given[:-1], weights], catch_exceptions=False)
    with pytest.raises(UsageError, match="numbers with commas"):
        CliRunner().invoke(app, [*given[:-1], "x"], catch_exceptions=False)


def test_the_learning_rate_goes_in_cycles() -> None:
    factor = schedule(Settings(epochs=6, snapshots=3), 60)
    assert [factor(step) for step in (0, 20, 40)] == [1, 1, 1]
    assert [factor(step) for step in (10, 30)] == pytest.approx([0.5, 0.5])
    assert max(factor(step) for step in (19, 39, 59, 60)) < 0.01
    with pytest.raises(UsageError, match="multiple of 4"):
        Settings(epochs=6, snapshots=4)
    with pytest.raises(UsageError, match="cosine"):
        Settings(epochs=6, snapshots=3, schedule="step")


class Points(list[int]):
    names = ("a", "b")

    def summary(self) -> list[str]:
        return []

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, int]:
        return torch.full((3,), key[0] % 2 - 0.5), key[0] % 2


class Told(Objective):
    words, seen = {"accuracy": "accuracy"}, 0

    def loss(self, net: nn.Module, batch: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"entropy": nn.functional.cross_entropy(net(batch[0]), batch[1])}

    def update(self, net: nn.Module, batch: list[torch.Tensor]) -> None:
        self.seen += 1

    def figures(self) -> dict[str, float]:
        return {"accuracy": float(self.seen)}


def test_a_run_leaves_a_model_a_cycle(tmp_path: Path) -> None:
    def run(training: Training, told: object) -> object:
        parts = Parts(nn.Linear(3, 2), Told(card(input=Input((32, 32), "stretch"))), *training.data)
        return fit(parts, training, lambda progress: None)

    recipe = Recipe(Settings, lambda data, settings: (Points(range(16)), Points(range(4))), run)
    Training(recipe, tmp_path, tmp_path / "run", Settings(epochs=6, snapshots=3, lr=0.1, batch=8)).run()
    found = sorted(path.name for path in (tmp_path / "run").glob("snapshot*"))
    assert found == [f"snapshot{i}.safetensors" for i in (1, 2, 3)]
    weights = [state_dict(tmp_path / "run" / name)["weight"] for name in found]
    assert np.diff([float(one.norm()) for one in weights]).min() > 0.01                   # it went on learning
    soup([tmp_path / "run" / name for name in found], tmp_path / "s.safetensors")
    assert torch.allclose(state_dict(tmp_path / "s.safetensors")["weight"], torch.stack(weights).mean(0), atol=2e-3)
