"""The search for settings, on a training that is a formula."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("optuna", reason="a search needs the extra 'search'")

from vision.cli import app
from vision.errors import DataError, UsageError
from vision.spec import options
from vision.train.recipe import Progress, Recipe, Trained
from vision.train.settings import Settings
from vision.train.space import Space, read_space
from vision.train.training import RECIPES, Training
from vision.train.tuning import Tried, Tuning
from vision.train.tuning_page import page

FIELDS = {field.name: field for field in options(Settings)}


def figure(settings: Settings) -> float:
    """Best at a learning rate of 0.001 and a batch of 8."""
    return 0.9 - (math.log10(settings.lr) + 3) ** 2 / 20 - abs(settings.batch - 8) / 100


def run(training: Training, told: Any) -> Trained:
    if training.settings.batch == 13:
        raise DataError("thirteen is bad luck")
    if training.settings.batch == 7:
        raise ZeroDivisionError("of somebody's own")
    value = figure(training.settings)
    for epoch in range(1, training.settings.epochs + 1):
        told(Progress(epoch, training.settings.epochs, 1.0, 0.1, {"score": value * epoch}, 0.0, True))
    weights = training.folder / "best.safetensors"
    weights.write_text(str(training.settings.lr))
    return Trained(weights, {"score": value}, training.settings.epochs, {"score": "score"})


class Nothing(list):
    names, summary = ("a",), lambda self: []


RECIPE = Recipe(Settings, lambda data, settings: (Nothing(), Nothing()), run)


def tuning(folder: Path, **more: Any) -> Tuning:
    given = {"settings": {"epochs": 3}, "search": {"lr": "0.00001..0.1:log", "batch": "4..12"}, **more}
    return Tuning(RECIPE, folder.parent, folder, **given)


@pytest.mark.parametrize("method", ["tpe", "random", "cmaes", "genetic"])
def test_each_method_gets_near_the_best(method: str, tmp_path: Path) -> None:
    told: list[Tried] = []
    best = tuning(tmp_path / "search", trials=15, method=method).run(told.append)
    assert len(told) == 15
    assert best.value == max(one.value for one in told) > 0.8
    assert best.value == pytest.approx(figure(Settings(**best.chosen)))
    assert float((best.folder / "best.safetensors").read_text()) == best.chosen["lr"]      # its own values
    saved = json.loads((tmp_path / "search" / "best.json").read_text())
    assert saved == {"trial": best.number, "value": best.value, "settings": {"epochs": 3, **best.chosen}}


def test_a_grid_tries_all_of_it(tmp_path: Path) -> None:
    told: list[Tried] = []
    search = {"lr": "0.1,0.001", "batch": "4,8,12", "optimiser": "sgd,adamw"}
    best = tuning(tmp_path / "search", search=search, method="grid", trials=12).run(told.append)
    assert len({tuple(one.chosen.items()) for one in told}) == 12
    assert (best.chosen["lr"], best.chosen["batch"]) == (0.001, 8)


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    told: list[Tried] = []
    tuning(tmp_path / "search", trials=4).run()
    with pytest.raises(UsageError, match="holds a search already"):
        tuning(tmp_path / "search")
    tuning(tmp_path / "search", trials=7, resume=True).run(told.append)
    assert [one.number for one in told] == [4, 5, 6]
    with pytest.raises(UsageError, match="no search to go on with"):
        tuning(tmp_path / "none", resume=True)


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_a_search_that_goes_on_tries_nothing_twice(method: str, tmp_path: Path) -> None:
    told: list[Tried] = []
    for trials, resume in ((4, False), (8, True)):
        tuning(tmp_path / "search", trials=trials, method=method, resume=resume).run(told.append)
    assert len({one.chosen["lr"] for one in told}) == 8


def test_a_trial_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    told: list[Tried] = []
    best = tuning(tmp_path / "search", search={"batch": "13,8"}, method="grid", trials=2).run(told.append)
    failed = next(one for one in told if one.state == "failed")
    assert (failed.chosen, failed.why) == ({"batch": 13}, "thirteen is bad luck")
    assert best.chosen == {"batch": 8}
    assert "thirteen is bad luck" in (tmp_path / "search" / "tuning.html").read_text()
    with pytest.raises(UsageError, match=r"none of 1 trials.*bad luck"):
        tuning(tmp_path / "bad", search={"lr": "0.1,0.2"}, settings={"batch": 13}, trials=1).run()


def test_whatever_a_trial_trips_over_the_others_go_on(tmp_path: Path) -> None:
    told: list[Tried] = []
    best = tuning(tmp_path / "search", search={"batch": "7,8"}, method="grid", trials=2).run(told.append)
    assert {one.state for one in told} == {"failed", "complete"}
    assert best.chosen == {"batch": 8}


@pytest.mark.parametrize("changed", [{"settings": {"epochs": 2}}, {"search": {"lr": "0.0001..0.1:log"}},
                                     {"search": {"lr": "0.1,0.2"}}])
def test_a_search_does_not_go_on_as_another_one(changed: dict[str, Any], tmp_path: Path) -> None:
    tuning(tmp_path / "search", trials=2).run()
    before = (tmp_path / "search" / "best.json").read_bytes()
    with pytest.raises(UsageError, match=f"was begun with another --{'set' if 'settings' in changed else 'search'}"):
        tuning(tmp_path / "search", trials=4, resume=True, **changed).run()
    assert (tmp_path / "search" / "best.json").read_bytes() == before


def test_one_search_at_a_time_has_a_folder(tmp_path: Path) -> None:
    def meanwhile(_: Tried) -> None:
        with pytest.raises(UsageError, match="another search is under way"):
            tuning(tmp_path / "search", trials=4, resume=True).run()

    tuning(tmp_path / "search", trials=2).run(meanwhile)
    tuning(tmp_path / "search", trials=3, resume=True).run()


def test_trials_below_the_median_are_stopped(tmp_path: Path) -> None:
    told: list[Tried] = []
    tuning(tmp_path / "search", trials=20, prune=True, method="random", seed=3).run(told.append)
    pruned = [one for one in told if one.state == "pruned"]
    assert pruned
    assert "stopped after epoch 1" in pruned[0].why
    complete = sorted(one.value for one in told if one.state == "complete")
    assert complete[-1] == max(figure(Settings(**one.chosen)) for one in told)              # not the best of them


@pytest.mark.parametrize(("search", "message"), [
    ({"speed": "1..2"}, "no option 'speed' to search. Nearest: seed"),
    ({"lr": "0.1"}, "two values or more"),
    ({"lr": "0.1..0.01"}, "from a lower number to a higher"),
    ({"lr": "0..0.1:log"}, "above 0 with :log"),
    ({"lr": "0.1..inf"}, "from a lower number to a higher"),
    ({"lr": "0.1,inf"}, "is a number; got inf"),
    ({"lr": "a..b"}, "from one number to another"),
    ({"batch": "1.5..3"}, "lower whole number"),
    ({"batch": "a,b"}, "whole number; got 'a'"),
    ({"optimiser": "sgd,nadam"}, "one of adamw, sgd"),
    ({"epochs": "2,3"}, "it cannot be set, too"),
    ({}, "needs an option to search"),
])
def test_what_cannot_be_searched_is_said_before_the_first_trial(
    search: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        tuning(tmp_path / "search", search=search)
    assert not (tmp_path / "search").exists()


def test_a_method_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a grid needs values of lr"):
        tuning(tmp_path / "search", method="grid")
    with pytest.raises(UsageError, match="tpe, random, grid, cmaes, genetic"):
        tuning(tmp_path / "search", method="guess")
    with pytest.raises(UsageError, match="nothing trains 'cook'"):
        Tuning("cook", tmp_path, tmp_path / "x", {}, {"lr": "1,2"})


def test_spaces_are_read() -> None:
    assert read_space(FIELDS["lr"], "0.001..0.1:log") == Space((), 0.001, 0.1, False, True)
    assert read_space(FIELDS["batch"], "2..32") == Space((), 2, 32, True, False)
    assert read_space(FIELDS["batch"], "2,32") == Space((2, 32))
    assert read_space(FIELDS["schedule"], "cosine, step") == Space(("cosine", "step"))
    size = {field.name: field for field in options(RECIPES["detect"].settings)}["scale"]
    assert read_space(size, "0.5,1.8;0.8,1.2") == Space(("0.5,1.8", "0.8,1.2"))


def test_the_page_shows_each_trial_and_no_markup_of_names() -> None:
    tried = [
        Tried(i, "complete", 0.5 + i / 10, {"lr": 10.0**-i, "kind": kind}, Path("x"))
        for i, kind in enumerate(("<b>", "b"))
    ]
    text = page("a <search>", [*tried, Tried(2, "failed", float("nan"), {"lr": 0.1}, Path("x"), "no <luck>")],
                {"lr": 0.75})
    assert text.count("<path") == 2
    assert "a &lt;search&gt;" in text
    assert "no &lt;luck&gt;" in text
    assert "<b>1</b>: 0.6000" in text
    assert "&lt;b&gt;" in text
    assert 'width="450"' in text                                          # 0.75 of the widest bar


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "detect", RECIPE)
    given = ["tune", "detect", "--data", str(tmp_path), "-o", str(tmp_path / "s"), "--trials", "3",
             "--search", "lr=0.0001..0.01:log", "--set", "epochs=2", "--set", "weight-decay=0.5"]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "best: trial" in done.output
    best = json.loads((tmp_path / "s" / "best.json").read_text())["settings"]
    assert (best["epochs"], best["weight_decay"]) == (2, 0.5)
    with pytest.raises(UsageError, match="NAME=VALUE"):
        CliRunner().invoke(app, [*given[:-1], "epochs"], catch_exceptions=False)
