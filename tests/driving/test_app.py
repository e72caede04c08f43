"""The page that a driver of robots copies: apps/driving."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from apps.driving import __main__ as driving
from apps.driving.__main__ import on_warning, plan_of, state_of
from tests.driving.test_obstacles import GROUND, NAMES, box_at, lanes, picture, tracks
from vision import Frame, Item, Situation
from vision.driving.alerts import Alert
from vision.driving.free import free_space
from vision.driving.obstacles import Observer
from vision.steps import Drive


def item(calibrated: bool, *, horizon: bool = False) -> Item:
    """A car whose wheels are 12 m away, and one beside it that is nearer. horizon: the road is free up to it."""
    frame = Frame(picture(box_at(12.0)), 3, 0.15, captured=100.0)
    seen = lanes(0.2, calibrated)
    found = Observer()(frame, tracks(box_at(12.0), box_at(8.0, 4.0)), seen, NAMES)
    free = free_space(np.ones((90, 160), bool), GROUND, calibrated, found.boxes)
    if horizon:
        free = replace(free, ranges=np.full_like(free.ranges, np.inf))
    return Item(frame, {"drive": Situation(found, seen, free, None, (), {})}, [Drive().open(None, None)])


def test_the_numbers_for_a_control_loop() -> None:
    state = state_of(item(True), 100.04)
    assert state.age == pytest.approx(0.04)
    assert state.offset == pytest.approx(0.2)
    assert state.gap == pytest.approx(11.5, rel=0.06)
    assert state.gap_least is not None
    assert state.gap_least < 11.5
    assert state.collision is None                           # one frame tells no time
    assert state.free == pytest.approx(12.0, rel=0.05)


def test_a_line_of_a_free_road_is_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Free to the horizon: infinite for a loop, null on a line."""
    class Frames:
        info: ClassVar = SimpleNamespace(live=False)

    class Watched:
        report: ClassVar = SimpleNamespace(notes=[])

        def __init__(self, *_: object, **options: object) -> None:
            pass

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __iter__(self) -> Iterator[Item]:
            yield item(True, horizon=True)

    monkeypatch.setattr(driving, "read", lambda source: Frames())
    monkeypatch.setattr(driving, "Run", Watched)
    driving.main("drive.mp4", lines=True)
    said = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (said["free"], said["time"]) == (None, 0.15)
    assert said["gap"] == pytest.approx(11.5, rel=0.06)
    assert state_of(item(True, horizon=True), 100.0).free == np.inf


def test_without_a_calibration_it_has_no_metres() -> None:
    state = state_of(item(False), 100.0)
    assert (state.offset, state.curvature, state.gap, state.gap_least, state.free) == (None,) * 5


def test_plans_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert [one.task for one in plan_of(None, None, None, True)] == ["detect", "track", "lanes", "drive"]
    on_warning(Alert("forward collision", "begin", 2.0, {"ttc_s": 2.5}, "", 4, 0), NAMES)
    assert capsys.readouterr().out == "    2.00 s  begin  forward collision car  ttc_s 2.50\n"
