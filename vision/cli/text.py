"""Words on a terminal."""

from __future__ import annotations


def plain(text: str) -> str:
    """`text` with its control characters escaped: a file's name must not move the cursor or colour the screen."""
    return "".join(char if char.isprintable() or char == " " else repr(char)[1:-1] for char in text)


def counted(number: int, what: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
