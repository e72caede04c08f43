"""The application: what a server answers, for `vision serve` and for the page of `vision webcam --web`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from vision import __version__
from vision.serve.service import Service
from vision.serve.stream import stream_routes

PAGE = Path(__file__).with_name("page")
_log = logging.getLogger("vision.serve")


def create_app(service: Service, *, page: Path | None = None, on_failure: Callable[[], None] | None = None) -> FastAPI:
    """An ASGI application over a service, which it starts, and closes at the end.

    page: a folder of static files for `/`, such as `PAGE`; none unless given. on_failure: called, in a thread, when a
    model cannot be loaded; `service.failure` has the reason.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(asyncio.to_thread(_start, service, on_failure))
        try:
            yield
        finally:
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.to_thread(service.close)

    app = FastAPI(title="vision", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(stream_routes(service))

    @app.get("/v1/tasks")
    def tasks() -> list[dict[str, Any]]:
        """The tasks, with the options that a request may set."""
        return service.described()

    if page is not None:
        app.mount("/", StaticFiles(directory=page, html=True), name="page")
    return app


def _start(service: Service, on_failure: Callable[[], None] | None) -> None:
    try:
        service.start()
    except BaseException as error:
        _log.error("the server cannot start: %s", error)
        if on_failure is not None:
            on_failure()
