"""Processes that load data, and what they make of a stop that reaches the whole group, as `timeout` and a terminal's
Ctrl-C send it: nothing. The process that began them hears it, too, and ends them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from torch._C import _remove_worker_pids
from torch.utils.data import DataLoader

_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Loader(DataLoader[Any]):
    """As torch's, but its processes, which are to be persistent ones begun with `leave_stops`, hear no stop."""

    def __iter__(self) -> Any:
        """The batches of an epoch. A stop that comes while the processes begin is put off until they have."""
        if not self.num_workers or self._iterator is not None:
            return super().__iter__()
        resource_tracker.ensure_running()                # which lets signals in once it has begun
        with _put_off():
            return super().__iter__()

    def close(self) -> None:
        """End the processes at once, whatever they are at; another epoch begins new ones."""
        batches: Any = self._iterator
        self._iterator = None
        if batches is None:
            return
        _remove_worker_pids(id(batches))                             # that they end is no fault of theirs
        batches._worker_pids_set, batches._shutdown = False, True    # which leaves torch nothing to wait for
        if self.pin_memory and hasattr(batches, "_pin_memory_thread_done_event"):
            batches._pin_memory_thread_done_event.set()
        for process in batches._workers:
            process.kill()
        for process in batches._workers:
            process.join()


def unstopped(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but a stop that comes while it is at work is heard once it has ended."""
    def whole(*given: Any) -> Any:
        with _put_off():
            return call(*given)

    return whole


def leave_stops(worker: int) -> None:
    """For the start of loading process `worker`, where it was begun in `_put_off`: of all that asks it to stop it hears
    its parent alone."""
    if hasattr(signal, "sigwaitinfo"):
        if signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            threading.Thread(target=_hear_parent, daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):             # macOS does not say who sent a signal
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _hear_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


@contextmanager
def _put_off() -> Iterator[None]:
    """Stops that come inside are heard at its end, and processes that begin inside hear none. Where Python cannot do
    that, in other threads than the main one and on Windows, all is as it was."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {one: handler for one in _STOPS if (handler := signal.getsignal(one)) is not None}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)          # handed down; other threads may still hear them
    try:
        for one in before:
            signal.signal(one, lambda number, frame: came.append(number))
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in came:
            signal.raise_signal(number)
