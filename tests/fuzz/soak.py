"""Fuzz one reader of foreign data: `python tests/fuzz/soak.py READER --seconds 300`.

Guided by what the code does with the data (atheris, extra `fuzz`): bytes as they come, and documents of the format
with something odd in them. What breaks the rule of `rule.py` is kept, one file a kind, in `--keep`; a finding is
mended, and its file goes into `tests/fuzz/corpus/READER`, which every test run reads again. Exit status 1 where
something was found.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vision", "json", "tomllib", "csv", "configparser", "zipfile", "ast"]):
    from documents import documents, written
    from hypothesis import HealthCheck, given, settings
    from readers import READERS
    from rule import Broken, judge, place

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="where findings are written")
    asked = parser.parse_args()
    reader = READERS[asked.reader]
    work = Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder = place(reader, work / "data")
    kept = asked.keep.absolute() / asked.reader
    known: set[str] = set()

    def tried(data: bytes) -> None:
        if reader.skips(data):
            return
        try:
            judge(reader, data, folder)
        except Broken as broken:
            cause = broken.__cause__
            last = traceback.extract_tb(cause.__traceback__)[-1] if cause is not None else None
            place_of = f"{type(cause).__name__} {Path(last.filename).name}:{last.lineno}" if last else "?"
            if place_of not in known:
                known.add(place_of)
                kept.mkdir(parents=True, exist_ok=True)
                path = kept / hashlib.sha256(data).hexdigest()[:12]
                path.write_bytes(data)
                print(f"{asked.reader}: {place_of}: {broken} -> {path}", flush=True)

    target = tried
    if reader.text is not None:
        @settings(suppress_health_check=list(HealthCheck), database=None)
        @given(documents(reader.document))
        def document(value: object) -> None:
            tried(written(reader.text(value)))

        built = document.hypothesis.fuzz_one_input

        def target(data: bytes) -> None:
            if data[:1] >= b"\x80":
                built(data[1:])
            else:
                tried(data[1:])

    seeds = work / "seeds"
    seeds.mkdir()
    for number, data in enumerate([*reader.seeds, *(p.read_bytes() for p in (CORPUS / asked.reader).glob("*"))]):
        (seeds / str(number)).write_bytes((b"\0" if reader.text is not None else b"") + data)
    for number in range(20 if reader.text is not None else 0):
        (seeds / f"d{number}").write_bytes(b"\xff" + os.urandom(400))
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={asked.seconds}", "-max_len=4096", "-timeout=60", "-rss_limit_mb=4096",
         "-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={work}/", str(seeds)], target,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
