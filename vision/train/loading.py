"""What every data set of the trainer shares: items drawn by (index, seed), whatever the workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import Sampler

from vision.train.settings import Settings
from vision.train.workers import Loader, leave_stops

T = TypeVar("T")
Key = tuple[int, int]                  # which item, and the seed of all that is drawn for it
_SEED_BITS = 31                        # of a key's seed; what lies above is the epoch


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """Random numbers of torch from `seed` (a key's) inside, and untouched outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**_SEED_BITS)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch works on one thread inside: a picture's operations are so small that sharing them out costs
    more than it saves, and ten times as much where the cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def epoch_of(key: Key) -> int:
    """The epoch that a key of `Shuffled` is from: whatever process loads it, it knows the time."""
    return key[1] >> _SEED_BITS


class Shuffled(Sampler[Key]):
    """Keys of a data set of n items in an order that seed and epoch alone decide.

    So a resumed run sees the pictures of the run that was killed, and the number of loading
    processes changes nothing.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Which order comes next; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Key]:
        random = np.random.default_rng((self.seed, self.epoch))
        order, seeds = random.permutation(self.n), random.integers(0, 2**_SEED_BITS, self.n)
        seeds += self.epoch << _SEED_BITS
        return iter(zip(order.tolist(), seeds.tolist(), strict=True))


class InOrder(Sampler[Key]):
    """Keys of a data set in its own order, for validation."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Key]:
        return iter((i, 0) for i in range(self.n))


def gathered(seen: T) -> list[T]:
    """What each process of a DDP run has seen, by its rank; of one process alone what it has."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [seen]
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, seen)
    return parts


def of_all(seen: list[T], count: int) -> list[T]:
    """What the processes of a DDP run have seen of a set, in its order. seen: by this one. count: of the set; what was
    dealt twice, so that each process has as many, is one."""
    parts = gathered(seen)
    return seen if len(parts) == 1 else list(chain.from_iterable(zip(*parts, strict=True)))[:count]


def loaders(train: Any, val: Any, settings: Settings) -> tuple[Loader, Loader]:
    """The loaders of a run; a set's `collate`, where it has one, makes its batches. The last training batch is
    dropped where it is smaller, unless it is the only one: a batch of one picture upsets batch normalisation."""
    common: dict[str, Any] = {
        "batch_size": settings.batch, "num_workers": settings.workers, "pin_memory": torch.cuda.is_available(),
    }
    if settings.workers:                  # new processes, not forks: a fork of one with threads may crash
        common |= {"multiprocessing_context": "spawn", "persistent_workers": True, "worker_init_fn": leave_stops}
    order = Shuffled(len(train), settings.seed)
    return (
        Loader(
            train, sampler=order, drop_last=len(train) >= settings.batch,
            collate_fn=getattr(train, "collate", None), **common,
        ),
        Loader(val, sampler=InOrder(len(val)), collate_fn=getattr(val, "collate", None), **common),
    )
