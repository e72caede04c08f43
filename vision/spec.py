"""Specs: what is to be done, written once.

A spec is a frozen dataclass. Its fields are the arguments in Python, the options of the command line, the
keys of a TOML plan and of a request to the server, and what goes to a worker as JSON. An `Option` in a
field's annotation has its help, its unit and its range.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from dataclasses import field as dataclass_field
from datetime import date, time
from functools import cache
from os.path import exists, isfile
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from vision.errors import UsageError

_log = logging.getLogger("vision.installed")
T = TypeVar("T")
_OTHER_THAN_TEXT = (int, float, list, tuple, dict, date, time, type(None))     # what TOML or JSON may give in its place


@dataclass(frozen=True)
class Option:
    """What a field of a spec means.

    help: one line. unit: `seconds`, `pixels`, `0..1`. min, max: the range, ends included.
    flags: the option's names on the command line, where they are not `--` and the field's name.
    separator: what lies between several values in one text, where a field takes several.
    remote: whether a request to the server may set it; never true of a path.
    """

    help: str
    unit: str = ""
    min: float | None = None
    max: float | None = None
    flags: tuple[str, ...] = ()
    separator: str = ""
    remote: bool = False

    @property
    def text(self) -> str:
        """Help and unit in one line."""
        return f"{self.help} ({self.unit})" if self.unit else self.help


class Field(NamedTuple):
    """A field of a spec: its name, its whole type, the first part of it that is not `None`, whether it may be
    None, its default (`MISSING` where it must be given) and its option."""

    name: str
    hint: Any
    type: Any
    optional: bool
    default: Any
    option: Option

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a field of a `Literal` type; empty for another field."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def is_path(self) -> bool:
        """Whether the field is a path and nothing else."""
        return self.type is Path


@dataclass_transform(frozen_default=True, field_specifiers=(dataclass_field,))
def spec(cls: type[T]) -> type[T]:
    """A class decorator: a frozen dataclass whose docstring and signature list its options."""
    made = dataclass(frozen=True, repr=False)(cls)
    made.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
        inspect.Parameter(
            field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=field.hint,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in options(made)
    ])
    lines = [
        textwrap.fill(f"{field.name}: {field.option.text}.", 100, subsequent_indent="    ")
        for field in options(made)
    ]
    summary = textwrap.dedent((cls.__doc__ or "").replace("\n    ", "\n"))
    made.__doc__ = "\n".join([summary.rstrip(), "", *lines])
    return made


def options(kind: Any) -> tuple[Field, ...]:
    """The fields of a spec that have an `Option`, in their order."""
    return _options(kind)


@cache
def _options(kind: Any) -> tuple[Field, ...]:
    hints = get_type_hints(kind, include_extras=True)
    found: list[tuple[bool, Field]] = []               # those of the base, which are keywords alone, last
    for field in fields(kind):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        inner, *notes = get_args(hint)
        option = next((note for note in notes if isinstance(note, Option)), None)
        if option is None:
            continue
        parts = [p for p in get_args(inner) if p is not NoneType] if _is_union(inner) else [inner]
        optional = _is_union(inner) and NoneType in get_args(inner)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        found.append((bool(field.kw_only), Field(field.name, inner, parts[0], optional, default, option)))
    return tuple(field for _, field in sorted(found, key=lambda pair: pair[0]))


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


class OptionError(UsageError):
    """A value that an option cannot have. as_option: the same with the option's name on the command line."""

    def __init__(self, owner: type, field: Field, what: str) -> None:
        super().__init__(f"{owner.__name__}.{field.name} {what}")
        flags = field.option.flags or (f"--{field.name.replace('_', '-')}",)
        self.as_option = f"{flags[0].split('/')[0]} {what}"


class Described:
    """The base of all specs: values are checked when one is made, and `to_dict` gives them as plain values."""

    def __post_init__(self) -> None:
        for field in options(type(self)):
            try:
                value = _checked(field, getattr(self, field.name))
            except UsageError as error:
                raise OptionError(type(self), field, str(error)) from None
            object.__setattr__(self, field.name, value)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given())
        return f"{type(self).__name__}({given})"

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, in plain values. Raises UsageError for a live object
        (a model, a function), which cannot be written to a file."""
        return {name: self._plain(name, value) for name, value in self._given()}

    @property
    def reads(self) -> list[str]:
        """The files on this machine that its options name: weights, records, a scene."""
        each = (value if isinstance(value, tuple) else (value,) for _, value in self._given())
        return [str(one) for several in each for one in several if isinstance(one, (str, Path)) and isfile(one)]

    def anywhere(self) -> Self:
        """The same, with whole names for the files and folders that its options name: for a process that works in
        another folder."""
        values = {field.name: getattr(self, field.name) for field in options(type(self))}
        for field in options(type(self)):
            value = values[field.name]
            text = isinstance(value, str) and Path in get_args(field.hint) and Path(value).suffix and isfile(value)
            if text or (isinstance(value, Path) and exists(value)):
                values[field.name] = Path(value).absolute()
        return type(self)(**values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A spec from the values of `to_dict`. Raises UsageError with the nearest names for an unknown key."""
        known = {field.name for field in options(cls)}
        for name in values:
            if name not in known:
                raise UsageError(f"{cls.__name__} has no option {name!r}. {nearest(name, known)}")
        return cls(**values)

    def _given(self) -> Iterator[tuple[str, Any]]:
        for field in options(type(self)):
            value = getattr(self, field.name)
            if field.default is MISSING or value != field.default:
                yield field.name, value

    def _plain(self, name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return [self._plain(name, one) for one in value]
        if isinstance(value, Path):
            return str(value)
        if value is None or isinstance(value, (str, int, float, bool)):
            return value
        raise UsageError(
            f"{type(self).__name__}.{name} is a live object ({type(value).__name__}), which cannot be written "
            "down. Give a name or a path."
        )


@cache
def installed(group: str) -> Mapping[str, Any]:
    """What installed packages register under an entry point, by name. One that cannot be loaded is logged and
    skipped, so that a broken package does not stop what has nothing to do with it."""
    from importlib.metadata import entry_points  # 10 ms, on every start

    found = {}
    for point in entry_points(group=group):
        try:
            found[point.name] = point.load()
        except Exception as error:                       # whatever the code of somebody else trips over
            _log.warning("%s of %s cannot be loaded (%s: %s)", point.value, group, type(error).__name__, error)
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """`Nearest: a, b.`, or all of them where none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"Nearest: {', '.join(near)}." if near else f"There are: {', '.join(known) or 'none'}."


def _checked(field: Field, value: Any) -> Any:
    """`value` as the field's type has it. Raises UsageError, with what is wrong, for another type or range."""
    option = field.option
    if value is None:
        if not field.optional:
            raise UsageError("must be given.")
        return None
    if field.choices and value not in field.choices:
        raise UsageError(f"is one of {', '.join(field.choices)}; got {value!r}.")
    if field.type in (str, Path) and isinstance(value, _OTHER_THAN_TEXT):
        raise UsageError(f"is a text; got {value!r:.100}.")
    if field.is_path:
        return Path(value)
    if get_origin(field.type) is tuple:
        values = (value,) if isinstance(value, (str, int, float)) else tuple(value)
        if any(isinstance(one, (list, dict)) for one in values):
            raise UsageError(f"is a list of plain values; got {value!r:.100}.")
        if get_args(field.type)[0] is str and any(isinstance(one, _OTHER_THAN_TEXT) for one in values):
            raise UsageError(f"is a list of texts; got {value!r:.100}.")
        if option.separator:
            values = tuple(part.strip() for one in values for part in str(one).split(option.separator))
        return _numbers(field, values) if get_args(field.type)[0] in (int, float) else values
    if field.type in (int, float):
        return _number(field, option, value)
    if field.type is bool and not isinstance(value, bool):
        raise UsageError(f"is true or false; got {value!r}.")
    return value


def _numbers(field: Field, values: tuple[Any, ...]) -> tuple[float, ...]:
    """The values of a field such as `tuple[int, int]`, which may come as text."""
    kinds = get_args(field.type)
    try:
        made = tuple(kind(value) for kind, value in zip(kinds, values, strict=True))
        if not all(number == float(value) < float("inf") for number, value in zip(made, values, strict=True)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        what = f"{len(kinds)} {'whole ' if int in kinds else ''}numbers"
        such = (field.option.separator or ",").join(map(str, field.default)) if field.default else ""
        raise UsageError(f"is {what}, such as {such}; got {', '.join(map(str, values))!r}.") from None
    return tuple(_number(field._replace(type=kind), field.option, n) for kind, n in zip(kinds, made, strict=True))


def _number(field: Field, option: Option, value: Any) -> float | int:
    number: float | int | None
    try:
        number = field.type(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, (bool, str)) or number != value or abs(number) == float("inf"):
        raise UsageError(f"is a {'whole ' if field.type is int else ''}number; got {value!r}.")
    low, high = option.min, option.max
    if (low is not None and number < low) or (high is not None and number > high):
        bounds = [f"at least {low:g}"] if low is not None else []
        bounds += [f"at most {high:g}"] if high is not None else []
        raise UsageError(f"is {' and '.join(bounds)}; got {value!r}.")
    return number


def first_sentence(kind: type) -> str:
    """The first sentence of a spec's docstring, without its full stop."""
    return (kind.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip().rstrip(".").split(". ")[0]
