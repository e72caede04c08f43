"""What was found in a whole stream, in words."""

from __future__ import annotations

from collections import Counter
from typing import Any

from vision.item import Item
from vision.state import State
from vision.types import Action, Detections, Landmarks, Scores, Tracks


class Tally:
    """Counts what the items of a stream hold; `lines` says it at the end."""

    def __init__(self) -> None:
        self._seen: dict[str, Counter[str]] = {}
        self._ids: dict[str, dict[int, str]] = {}
        self._frames = 0

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
            if isinstance(result, Detections):
                labels = [names[i] if 0 <= i < len(names) else str(i) for i in result.labels.tolist()]
                if isinstance(result, Tracks):
                    self._ids.setdefault(key, {}).update(zip(result.ids.tolist(), labels, strict=True))
                seen.update(labels)
            elif isinstance(result, Landmarks):
                seen.update([names[0]] * len(result))
                ids: Any = getattr(result, "ids", ())
                self._ids.setdefault(key, {}).update({int(i): names[0] for i in ids if i})
            elif isinstance(result, Scores):
                best = result.label if isinstance(result, Action) else int(result.probs.argmax())
                seen.update([names[best]] if best >= 0 else [])

    def lines(self) -> list[str]:
        """A line for each key: `detect: person 1043, car 398`, `track: 21 person, 3 car`."""
        found = []
        for key, seen in self._seen.items():
            if self._ids.get(key):
                counts = Counter(self._ids[key].values())
                found.append(f"{key}: " + ", ".join(f"{n} {name}" for name, n in counts.most_common(8)))
            elif seen:
                found.append(f"{key}: " + ", ".join(f"{name} {n}" for name, n in seen.most_common(8)))
            elif self._frames and key in ("detect", "track", "faces", "pose", "action"):
                found.append(f"{key}: nothing in {self._frames} frames")
        return found
