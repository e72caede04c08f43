"""Plans: what a task brings with it, and what each step is handed."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from vision import Detect, Spec, Track
from vision.errors import UsageError
from vision.steps import TASKS, SegmentInstances
from vision.steps.plan import checked_plan, handed, plan_of, read_plan


@pytest.mark.parametrize("names", [*permutations(TASKS, 2), *((name,) for name in TASKS)], ids="-".join)
def test_each_step_is_handed_what_it_takes(names: tuple[str, ...]) -> None:
    plan = plan_of(names)
    assert {*names} <= {one.task for one in plan}
    for number, one in enumerate(plan):
        before = {other.key: other.result for other in plan[:number]}
        assert {*one.needs} <= before.keys()
        for option, wanted in one.takes.items():
            assert issubclass(before[getattr(one, option)], wanted)


def test_a_task_stands_in_for_another_where_its_results_are_taken_alone() -> None:
    plan = checked_plan(plan_of(["instances", "drive"]))
    assert [one.key for one in plan] == ["instances", "track", "segment", "lanes", "drive"]
    assert [getattr(plan[n], "on", None) for n in (1, 4)] == ["instances", "track"]


@pytest.mark.parametrize("order", [("track", "drive"), ("drive", "track")])
def test_what_a_task_brings_is_the_same_in_whichever_order(order: tuple[str, str]) -> None:
    plan = {one.key: one for one in plan_of(order)}
    assert plan["detect"] == Detect("gfl-voc")
    assert plan["segment"].every == 5
    named = {one.key: one for one in plan_of([*order, "detect"])}
    assert named["detect"] == Detect()                                   # by itself, with its own defaults


def test_the_steps_of_a_plan_that_others_are_handed() -> None:
    plan = plan_of(["faces", "drive", "text"])
    assert [one.key for one in handed(plan, ["drive"])] == ["detect", "track", "segment", "lanes", "drive"]
    assert [one.key for one in handed(plan, ["text", "faces"])] == ["faces", "text"]
    assert handed(plan, []) == []


@pytest.mark.parametrize("name", TASKS)
def test_a_spec_comes_back_from_its_plain_values(name: str) -> None:
    kind = TASKS[name].spec
    made = kind(key="mine", every=2)
    told = made.to_dict()
    assert told == {"task": name, "key": "mine", "every": 2}
    assert kind.from_dict(told) == Spec.from_dict(told) == made


def test_values_of_another_task_are_refused() -> None:
    with pytest.raises(UsageError, match=r"Track is of the task 'track'; got 'detect'\. Spec\.from_dict takes any"):
        Track.from_dict(Detect(min_score=0.4).to_dict())
    with pytest.raises(UsageError, match=r"no task 'dtect'\. Nearest: detect"):
        Spec.from_dict({"task": "dtect"})
    with pytest.raises(UsageError, match="needs its task"):
        Spec.from_dict({"min_score": 0.4})
    assert Detect.from_dict({"min_score": 0.4}) == Detect(min_score=0.4)


def test_the_key_of_a_step_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[do]]\ntask = "instances"\n[[do]]\ntask = "track"\non = ""\n')
    plan = read_plan(tmp_path / "plan.toml")
    assert plan == [SegmentInstances(), Track(on="")]
    with pytest.raises(UsageError, match=r"'track' needs the results of a step before it: give that step's key, such "
                                         r"as 'instances'; got ''\."):
        checked_plan(plan)
