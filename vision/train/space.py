"""What is searched of an option: some values, or a range."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from vision.errors import UsageError
from vision.spec import Field

_SAID = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True)
class Space:
    """values: to choose from; or, where it is empty, numbers from `low` to `high`, ends included, `whole` ones alone,
    and `log`: a factor of ten counts as much everywhere."""

    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False

    @property
    def ends(self) -> tuple[Any, ...]:
        """What the option's own checks are tried on."""
        return self.values or ((int(self.low), int(self.high)) if self.whole else (self.low, self.high))

    def of(self, trial: Any, name: str) -> Any:
        """A value for a trial of Optuna."""
        if self.values:
            return trial.suggest_categorical(name, list(self.values))
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


def read_space(field: Field, text: str) -> Space:
    """What is searched of a field, from `a,b,c` or `LOW..HIGH`, with `:log` behind it. Raises UsageError."""
    values, _, how = text.partition(":log")
    if ".." in values and field.type in (int, float):
        try:
            low, high = (float(part) for part in values.split(".."))
        except ValueError:
            raise UsageError(f"{field.name} is searched from one number to another, 0.001..0.1; got {text!r}") from None
        whole, log = field.type is int, text.endswith(":log")
        if how or not -inf < low < high < inf or (log and low <= 0) or (whole and (low % 1 or high % 1)):
            raise UsageError(
                f"{field.name} is searched from a lower {'whole ' * whole}number to a higher one"
                f"{', above 0 with :log' * log}; got {text!r}")
        return Space((), low, high, whole, log)
    separator = ";" if ";" in text else ","                 # for values with commas in them
    parts = tuple(as_typed(field, part.strip()) for part in text.split(separator))
    if len(set(parts)) < 2:
        raise UsageError(f"{field.name} is searched over two values or more, {field.name}=a,b, or a range, "
                         f"{field.name}=0.001..0.1; got {text!r}")
    return Space(parts)


def as_typed(field: Field, text: str) -> Any:
    """A value as it is typed, of the field's type where that is a number or yes and no. Raises UsageError."""
    if field.type is bool:
        if text.lower() not in _SAID:
            raise UsageError(f"{field.name} is yes or no; got {text!r}")
        return _SAID[text.lower()]
    if field.type not in (int, float):
        return text
    try:
        return field.type(text)
    except ValueError:
        raise UsageError(f"{field.name} is a {'whole ' * (field.type is int)}number; got {text!r}") from None
