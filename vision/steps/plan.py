"""Plans: what is to be done with each frame, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vision.errors import UsageError
from vision.files import read_toml
from vision.spec import nearest
from vision.steps import TASKS, Spec, Task, find_task


def plan_of(names: Sequence[str], free_only: bool = False) -> list[Spec]:
    """A plan of tasks by name, each with its defaults, with the tasks before it that it needs.

    What a task brings has the options that any of the named ones gives it, in whichever order these are named.
    free_only: leave out what a task can do without and whose weights are for research. Raises UsageError for an unknown
    name.
    """
    plan: dict[str, Spec] = {}
    rows = [find_task(name) for name in names]
    asked = {row.spec.task for row in rows}
    given = {task: options for row in rows for task, options in row.given.items() if task not in asked}

    def add(row: Task) -> None:
        others: dict[str, Any] = {}
        for before in row.after:
            if free_only and before in row.spares and before not in names:
                continue
            wanted = find_task(before).spec
            stands_in = next((key for key, one in plan.items() if issubclass(one.result, wanted.result)), before)
            if before not in plan and stands_in != before:            # boxes of instances do for a tracker
                others.update({name: stands_in for name in row.spec.takes if getattr(row.spec, name) == before})
            else:
                add(find_task(before))
        if row.spec.task not in plan:
            plan[row.spec.task] = row.spec(**others, **given.get(row.spec.task, {}))

    for row in rows:
        add(row)
    return list(plan.values())


def handed(plan: Sequence[Spec], keys: Iterable[str]) -> list[Spec]:
    """The steps of a plan that have these keys, and those whose results they are handed, in the plan's order."""
    wanted = set(keys)
    for one in reversed(plan):
        if one.key in wanted:
            wanted |= {*one.needs, *(getattr(one, option) for option in one.takes)}
    return [one for one in plan if one.key in wanted]


def spec_of(values: Mapping[str, Any]) -> Spec:
    """A spec from plain values: `{"task": "detect", "min_score": 0.4}`. Raises UsageError."""
    if not isinstance(values, Mapping) or not isinstance(values.get("task"), str):
        raise UsageError(f'a part of a plan needs its task: task = "detect"; got {values!r}')
    rest = {name: value for name, value in values.items() if name != "task"}
    return find_task(values["task"]).spec.from_dict(rest)


def read_plan(path: str | Path) -> list[Spec]:
    """The plan in a TOML file.

    path: the file, with one `[[do]]` for each step. Returns its specs in order. Raises DataError where it cannot be
    read, UsageError for an unknown task or option.
    """
    table = read_toml(Path(path))
    unknown = sorted(table.keys() - {"do"})
    if unknown:
        raise UsageError(f"{str(path)!r} has {unknown[0]!r}; a plan has [[do]] and nothing else.")
    steps = table.get("do")
    if not isinstance(steps, list) or not steps:
        raise UsageError(f'{str(path)!r} has nothing to do. Write [[do]] and task = "detect".')
    return [spec_of(values) for values in steps]


def checked_plan(plan: list[Spec]) -> list[Spec]:
    """A plan as it will run: each spec as those that are handed its results ask for. Raises UsageError for two of
    one key, for one whose needs are not in the plan before it, and for one that takes results of another type."""
    if not plan:
        raise UsageError("the plan is empty: give something to do, such as Detect().")
    for number, one in enumerate(plan):
        if not isinstance(one, Spec):
            raise UsageError(f"a plan is of specs, such as Detect() or plan_of(['detect']); got {one!r:.60}.")
        one.check()
        keys = [before.key for before in plan[:number]]
        if one.key in keys:
            raise UsageError(f"two steps have the key {one.key!r}. Give one another: key='other'.")
        for need in one.needs:
            if not need:
                raise UsageError(f"{one.key!r} needs the results of a step before it: give that step's key, such as "
                                 f"{keys[-1] if keys else 'detect'!r}; got ''.")
            if need not in keys:
                add = TASKS[need].spec.__name__ if need in TASKS else need
                raise UsageError(
                    f"{one.key!r} needs the results of {need!r}, which is not in the plan before it "
                    f"({', '.join(keys) or 'nothing is'}). Add it: {add}(), or --do "
                    f"{','.join([*keys, need, one.task])}. {nearest(need, keys) if keys else ''}".rstrip()
                )
            index = keys.index(need)
            plan[index] = one.asks(plan[index])
        _check_kinds(one, plan[:number])
    return plan


def _check_kinds(one: Spec, before: Sequence[Spec]) -> None:
    """Raise UsageError where a step would be handed results of another type than it takes."""
    given = {other.key: other.result for other in before}
    for option, wanted in one.takes.items():
        key = getattr(one, option)
        if not issubclass(given.get(key, wanted), wanted):
            fit = [other for other, result in given.items() if issubclass(result, wanted)]
            raise UsageError(f"{one.key!r} needs {wanted.__name__}, and {key!r} gives {given[key].__name__}. Give "
                             f"another step as `{option}`: {', '.join(fit) or 'none in the plan before it does'}.")
