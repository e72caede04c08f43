"""Refuse large files, and text files that do not end in one line break: python tools/check_files.py FILE..."""

from __future__ import annotations

import sys
from pathlib import Path

LARGEST = 12 << 20                               # bytes; the largest file that ships has 7 MiB
TEXT = {".py", ".pyi", ".md", ".toml", ".yml", ".yaml", ".json", ".txt", ".cfg"}


def faults(path: Path) -> list[str]:
    """What is wrong with a file, a line each."""
    if path.stat().st_size > LARGEST:
        return [f"{path}: {path.stat().st_size >> 20} MiB, over {LARGEST >> 20}"]
    if path.suffix not in TEXT:
        return []
    text = path.read_bytes()
    found = []
    if text and (not text.endswith(b"\n") or text.endswith(b"\n\n")):
        found.append(f"{path}: does not end in one line break")
    found += [f"{path}:{number}: blanks at the end" for number, line in enumerate(text.split(b"\n"), 1)
              if line != line.rstrip(b" \t")]
    return found


if __name__ == "__main__":
    wrong = [line for name in sys.argv[1:] for line in faults(Path(name))]
    print("\n".join(wrong))
    sys.exit(bool(wrong))
