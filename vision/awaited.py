"""`async for item in run`: the run goes on in a thread of its own, and the event loop stays free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_END = object()


async def awaited(items: Iterator[T], interrupt: Callable[[], None]) -> AsyncGenerator[T]:
    """The items of an iterator, each taken in one other thread.

    interrupt: ends the wait for the next one, where this is left or cancelled meanwhile. Raises what the iterator
    raises.
    """
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="vision-awaited")
    asked: asyncio.Future[object] | None = None
    try:
        while True:
            asked = loop.run_in_executor(thread, next, items, _END)
            item = await asyncio.shield(asked)
            asked = None
            if item is _END:
                return
            yield item                           # type: ignore[misc]
            del item
    finally:
        if asked is not None and not asked.done():
            interrupt()
            await asyncio.wait([asked])
        close = getattr(items, "close", None)
        if close is not None:
            await loop.run_in_executor(thread, close)
        thread.shutdown()
