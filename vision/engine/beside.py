"""Graphs that are made beside a run, in a process of its own that yields to everything else.

The first run of a network goes the way that is likely the fastest. What the other ways need is compiled
meanwhile and kept in the cache, so that the next run can time them all. The process ends with the one that
started it; what it was about to write is then not there, never half there.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vision.card import Card
from vision.engine.choice import Candidate

Order = tuple[Card, str, str, str, int]                  # card, back end, device, precision, streams


def start(candidates: Sequence[Candidate]) -> subprocess.Popen[bytes] | None:
    """Start to make the graphs of `candidates`; None where no process can be started."""
    orders: list[Order] = [(c.program.card, c.backend, c.device, c.precision, c.streams) for c in candidates]
    package = str(Path(__file__).resolve().parent.parent.parent)
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "vision.engine.beside"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": paths}, start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(orders))        # to ourselves; it stays open for as long as we live
        process.stdin.flush()
    except OSError:
        return None
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it."""
    with suppress(OSError):
        process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _main() -> None:
    from vision.engine.backends import start_engine
    from vision.engine.program import program_of

    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "sched_setscheduler"):
        with suppress(OSError):                          # only when nobody else wants a processor
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    orders: list[Order] = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for card, backend, device, precision, streams in orders:
        with suppress(Exception):                        # the run that asks for it tells why it cannot be
            program = program_of(card)
            engine = start_engine(Candidate(program, backend, device, precision, streams))
            engine.compile(program.shape)
            engine.close()


def _end_with_parent() -> None:
    sys.stdin.buffer.read(1)                             # nothing comes but the end
    os._exit(0)


if __name__ == "__main__":
    _main()
