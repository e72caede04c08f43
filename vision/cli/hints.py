"""What to type: two examples of every command; and what other projects call our options and commands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from vision.spec import nearest


def _peers(kind: str, name: str) -> str:
    """What we call a command or an option of another project; empty where it is not known."""
    table = tomllib.loads(Path(__file__).with_name("peers.toml").read_text(encoding="utf-8"))[kind]
    return str(table.get(name.strip("-").replace("_", "-").lower(), ""))


def examples(path: str) -> list[str]:
    """The lines of `examples.txt` for a command or a group of commands, by its name (`eval detect`)."""
    lines = Path(__file__).with_name("examples.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if f"{line} ".startswith(f"vision {path} ")]


def epilog(path: str) -> str:
    """What help says below a command's options: its examples."""
    return "\n\n".join(("Examples:", *lines)) if (lines := examples(path)) else ""


def for_command(name: str, known: Iterable[str]) -> str:
    """What to type instead of a command that does not exist."""
    ours = _peers("commands", name)
    return f"Here it is: vision {ours}." if ours else nearest(name, known)


def for_option(name: str, known: Iterable[str]) -> str:
    """What to type in place of an option that a command does not have. known: those that it has."""
    here = set(known)
    ours = _peers("options", name)
    if ours and (not ours.startswith("--") or ours.split()[0] in here):
        return ours if ours.endswith(".") else f"Here it is {ours}."
    return nearest(name, here)


def for_arguments(arguments: Sequence[str], known: Iterable[str]) -> str | None:
    """What is wrong with arguments such as `source=clip.mp4` and `conf=0.4`; None where they are none of these."""
    options = {option.lstrip("-"): option for option in known}
    for argument in arguments:
        found = re.fullmatch(r"([a-z_]+)=(.*)", argument)
        if found is None or Path(argument).exists():
            continue
        name, value = found[1].replace("_", "-"), found[2]
        if name in options:
            return f"{argument!r}: options begin with two dashes. Write {options[name]} {value}."
        if _peers("options", name).startswith("SOURCE"):
            return f"a source goes without {found[1]}=. Write {value}."
        if _peers("options", name):
            return f"{argument!r}: options begin with two dashes. {for_option(name, options.values())}"
    return None
