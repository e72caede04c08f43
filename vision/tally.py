"""What was found in a whole stream, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vision.drawing import class_name
from vision.item import Item
from vision.state import State
from vision.types import NONE, Action, Detections, Landmarks, Names, Scores, Tracks

_SHOWN = 8                                      # names in a line


class Tally:
    """Counts what the items of a stream hold; `lines` says it at the end."""

    def __init__(self) -> None:
        self._seen: dict[str, Counter[str]] = {}
        self._ids: dict[str, dict[int, str]] = {}
        self._frames = 0
        self._sought: dict[str, str] = {}
        self._known: dict[str, Names] = {}

    def state(self) -> State:
        """The counts so far."""
        ids = {key: [[i, name] for i, name in found.items()] for key, found in self._ids.items()}
        return {"seen": {key: dict(seen) for key, seen in self._seen.items()}, "ids": ids, "frames": self._frames}

    def restore(self, state: State) -> None:
        """Go on where `state` was asked for."""
        self._seen = {key: Counter(seen) for key, seen in state["seen"].items()}
        self._ids = {key: dict(pairs) for key, pairs in state["ids"].items()}
        self._frames = state["frames"]

    def add(self, item: Item) -> None:
        """Count one item."""
        self._frames += 1
        for key in item:
            result, names = item[key], item.names(key)
            seen = self._seen.setdefault(key, Counter())
            if isinstance(result, (Detections, Landmarks, Action)):
                self._sought[key] = _word(result, names)
            if isinstance(result, Detections):
                labels = [class_name(names, i) for i in result.labels.tolist()]
                if isinstance(result, Tracks):
                    pairs = zip(result.ids.tolist(), labels, strict=True)
                    self._ids.setdefault(key, {}).update({i: label for i, label in pairs if i})
                seen.update(labels)
            elif isinstance(result, Landmarks):
                what = names[0] if names else "object"
                seen.update([what] * len(result))
                ids: Any = getattr(result, "ids", ())
                self._ids.setdefault(key, {}).update({int(i): what for i in ids if i})
            elif isinstance(result, Scores) and len(result.probs):
                best = result.label if isinstance(result, Action) else int(result.probs.argmax())
                seen.update([class_name(names, best)] if best >= 0 else [])
                if isinstance(result, Action):
                    self._known[key] = [name for name in names if name != NONE]

    def lines(self, if_none: Mapping[str, str] | None = None) -> list[str]:
        """A line for each key: `detect: person 1043, car 398`, `track: 21 person, 3 car`, `faces: no face in 200
        frames`; and which actions a model knows, since it takes whatever it sees for one of them.

        if_none: what to try where nothing was found, by key.
        """
        found = []
        for key, seen in self._seen.items():
            if self._ids.get(key):
                counts = Counter(self._ids[key].values())
                found.append(f"{key}: {_listed([f'{n} {name}' for name, n in counts.most_common()])}")
            elif seen:
                found.append(f"{key}: {_listed([f'{name} {n}' for name, n in seen.most_common()])}")
            elif key in self._sought:
                frames = "1 frame" if self._frames == 1 else f"{self._frames} frames"
                hint = (if_none or {}).get(key, "")
                found.append(f"{key}: no {self._sought[key]} in {frames}{f'. {hint}' if hint else ''}")
            if self._known.get(key):
                found.append(f"{key}: the model knows {_listed(self._known[key])}, and nothing else")
        return found


def _listed(parts: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f", and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return ", ".join(parts[:_SHOWN]) + more


def _word(result: Any, names: Names) -> str:
    """What one of the things is called that a task looks for."""
    if isinstance(result, Action):
        return "action"
    return names[0] if len(names) == 1 else "track" if isinstance(result, Tracks) else "object"
