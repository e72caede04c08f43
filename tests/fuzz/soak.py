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
    """Fuzz in a process of its own until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="where findings are written")
    asked = parser.parse_args()
    memory = Path("/dev/shm")                    # opening a file on a disk takes longer than reading it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as work:
        child = os.fork()
        if child == 0:
            fuzz(asked.reader, asked.seconds, asked.keep.absolute(), Path(work))
        _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) or any((asked.keep / asked.reader).glob("*")))


def fuzz(name: str, seconds: int, keep: Path, work: Path) -> None:
    """Fuzz the reader; does not come back. work: a folder to work in."""
    reader = READERS[name]
    folder = place(reader, work / "data")
    (keep / name).mkdir(parents=True, exist_ok=True)
    known: set[str] = set()

    def tried(data: bytes) -> None:
        if reader.skips(data):
            return
        try:
            judge(reader, data, folder)
        except Broken as broken:
            last = traceback.extract_tb(broken.__cause__.__traceback__)[-1]
            where = f"{type(broken.__cause__).__name__} {Path(last.filename).name}:{last.lineno}"
            if where in known:
                return
            known.add(where)
            path = keep / name / hashlib.sha256(data).hexdigest()[:12]
            path.write_bytes(data)
            print(f"{name}: {where}: {broken} -> {path}", flush=True)

    @settings(suppress_health_check=list(HealthCheck), database=None)
    @given(documents(reader.document))
    def document(value: object) -> None:
        tried(written(reader.text(value)))

    def target(data: bytes) -> None:
        """The first byte tells bytes as they come from what makes a document."""
        if data[:1] >= b"\x80" and reader.text is not None:
            document.hypothesis.fuzz_one_input(data[1:])
        else:
            tried(data[1:])

    seeds = work / "seeds"
    seeds.mkdir()
    plain = [*reader.seeds, *(path.read_bytes() for path in (CORPUS / name).glob("*"))]
    built = [os.urandom(400) for _ in range(20)]
    for number, data in enumerate([*(b"\0" + one for one in plain), *(b"\xff" + one for one in built)]):
        (seeds / str(number)).write_bytes(data)
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-timeout=30", "-report_slow_units=30",
         "-rss_limit_mb=4096", "-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={keep / name}/", str(seeds)],
        target,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
