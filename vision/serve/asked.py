"""What a request asks for: specs by key, of which only the fields marked `remote` may be set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from vision.card import Card
from vision.errors import UsageError
from vision.spec import Field, nearest, options
from vision.steps import Spec, find_task
from vision.steps.plan import checked_plan, plan_of

Loaded = Mapping[str, Mapping[str, Any]]                 # task -> name -> model, the default first; None: the spec's
_LOCAL = {Path, Card}                                    # what names a file here is no stranger's to set
_NONE: Mapping[str, Spec] = {}
_KINDS: dict[Any, str] = {int: "integer", float: "number", bool: "boolean"}


def plan_asked(
    asked: Any, offered: Iterable[str], loaded: Loaded, own: Mapping[str, Spec] = _NONE, *, free_only: bool = False,
) -> list[Spec]:
    """The plan in `{"detect": {"min_score": 0.4}, "track": {}}`, with the tasks before it that it needs.

    offered: the tasks that may be asked for. loaded: the models that may. own: what the server does in a task unless it
    is told otherwise. free_only: without what a task can do without, and whose weights are for research. Raises
    UsageError in one line.
    """
    if not isinstance(asked, Mapping) or not asked:
        raise UsageError('a plan is its tasks with their options, {"detect": {"min_score": 0.4}}; '
                         f"got {json.dumps(asked)[:100]}.")
    for name in asked:
        if name not in offered:
            raise UsageError(f"this server has no task {name!r:.60}. {nearest(str(name), offered)}")
    plan = [_with(own.get(one.key, one), asked.get(one.key, {}), loaded) for one in plan_of(list(asked), free_only)]
    return checked_plan(plan)


def _with(one: Spec, values: Any, loaded: Loaded) -> Spec:
    """A spec with what was asked for, and the loaded model that it names."""
    if not isinstance(values, Mapping):
        raise UsageError(f"the options of {one.key!r} are names with values; got {json.dumps(values)[:100]}.")
    known = {field.name for field in remote_fields(type(one))}
    models = loaded.get(one.task, {})
    given = dict(values)
    name = given.pop("model", None)
    for field in given:
        if field not in known:
            raise UsageError(f"{one.key!r} has no option {field!r:.60} that a request may set. "
                             f"{nearest(field, [*known, *(['model'] if models else [])])}")
    if name is not None and not (isinstance(name, str) and name in models):
        raise UsageError(f"{one.key!r} has no model {name!r:.60} here. {nearest(str(name), models)}")
    chosen = models.get(name) if name is not None else next(iter(models.values()), None)
    if chosen is not None:
        given["model"] = chosen
    try:
        return replace(one, **given)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"the options of {one.key!r} cannot be read ({error}).") from None


def remote_fields(kind: type[Spec]) -> list[Field]:
    """The fields of a spec that a request may set."""
    return [field for field in options(kind)
            if field.option.remote and not _LOCAL & {field.hint, *get_args(field.hint)}]


def described(name: str, loaded: Loaded) -> dict[str, Any]:
    """A task for `GET /v1/tasks`: what it does, and each option with name, type, default, unit, range, choices."""
    row = find_task(name)
    models = list(loaded.get(name, {}))
    return {
        "task": name,
        "help": (row.spec.__doc__ or "").strip().splitlines()[0],
        "after": list(row.after),
        "timed": row.spec.timed,
        "models": models,
        "options": [_described(field) for field in remote_fields(row.spec)],
    }


def _described(field: Field) -> dict[str, Any]:
    option = field.option
    several = get_origin(field.type) is tuple
    kind = "array" if several else _KINDS.get(field.type, "string")
    default = None if field.default is MISSING else field.default
    return {
        "name": field.name, "type": kind, "items": _item(field) if several else None,
        "default": list(default) if isinstance(default, tuple) else default, "optional": field.optional,
        "unit": option.unit, "min": option.min, "max": option.max, "help": option.help,
        "choices": list(field.choices) or None,
    }


def _item(field: Field) -> str:
    return _KINDS.get(get_args(field.type)[0], "string")


def schema(name: str, loaded: Loaded) -> dict[str, Any]:
    """The JSON schema of a task's options, for the OpenAPI page."""
    found: dict[str, Any] = {}
    task = described(name, loaded)
    for option in task["options"]:
        kind: dict[str, Any] = {"type": option["type"], "description": option["help"]}
        if option["items"]:
            kind["items"] = {"type": option["items"]}
        if option["choices"]:
            kind["enum"] = option["choices"]
        kind |= {word: option[key] for word, key in (("minimum", "min"), ("maximum", "max")) if option[key] is not None}
        found[option["name"]] = kind
    if task["models"]:
        found["model"] = {"type": "string", "enum": task["models"]}
    return {"type": "object", "properties": found, "additionalProperties": False}
