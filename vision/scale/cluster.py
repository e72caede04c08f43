"""Ray, reached or started here: on loopback, without a dashboard, and without a word to its makers."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vision.errors import MissingExtra, UsageError

HERE = "local"                                   # a cluster of this machine alone, for this job alone
WAIT_S = 10.0                                    # for an address to answer
_PORT = 6379                                     # of Ray, unless it is told another
_STORE_BYTES = 100 << 20                         # records go by files: next to nothing passes through Ray's memory


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """The module `ray`, connected; what was started or connected here is ended at the end.

    address: `local`, `auto` (one that runs on this machine), HOST:PORT, or ray://HOST:PORT, a client's. Raises
    MissingExtra; UsageError for one that does not answer within 10 seconds, or has another version."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")                     # no word on forks
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")     # no word on graphics cards that are not there
    if address == HERE:
        os.environ.setdefault("RAY_worker_niceness", "0")                # as this process, and not behind all others
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # which means: on loopback
    else:
        _reachable(address)
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "ray", "a run on many machines") from None
    mine = not ray.is_initialized()
    if mine:
        _connect(ray, address)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """`ray.init`. With the address of a cluster it is waited for in a thread, since it would wait for a minute where
    nobody speaks its language; what it starts here ends with the thread that started it, and is started in this one."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == HERE:
        options |= {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    failed: list[Exception] = []

    def init() -> None:
        try:
            ray.init(address=address, **options)
        except Exception as error:                       # told below
            failed.append(error)

    thread = threading.Thread(target=init, daemon=True, name="vision-ray")
    if address == HERE:
        init()
    else:
        thread.start()
        thread.join(WAIT_S)
    if thread.is_alive():
        raise UsageError(f"{address!r} does not answer as Ray does within {WAIT_S:g} s. Is it the address of a head "
                         "node (ray start --head)? For this machine alone: --ray local")
    if failed:
        raise UsageError(_why(address, str(failed[0]))) from failed[0]


def _why(address: str, text: str) -> str:
    line = " ".join(text.split())[:400]
    if "ersion mismatch" in text:
        return f"{address!r} runs another version of Ray or of Python. Install the same on all machines. Ray: {line}"
    if address == "auto":
        return "no Ray cluster runs on this machine. Start one (ray start --head), or give --ray local."
    return f"Ray cannot be used at {address!r}: {line}"


def _reachable(address: str) -> None:
    """Raise UsageError for a HOST:PORT where nobody answers."""
    if address == "auto":
        return
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if not sign:
        host, port = port, str(_PORT)
    if not port.isdecimal() or not host:
        raise UsageError(f"{address!r} is no address of Ray: local, auto, HOST:PORT or ray://HOST:PORT.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT_S).close()
    except (OSError, OverflowError) as error:
        what = "within 10 s" if isinstance(error, TimeoutError) else f"({getattr(error, 'strerror', None) or error})"
        raise UsageError(f"nobody answers at {address!r} {what}. Is the head node up (ray start --head), and its port "
                         "open? For this machine alone: --ray local") from error
