"""The application: what a server answers, for `vision serve` and for the page of `vision webcam --web`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from vision import __version__
from vision.serve.answers import answer
from vision.serve.enrol import enrol_routes
from vision.serve.job_routes import job_routes
from vision.serve.rest import task_routes
from vision.serve.safety import LOOPBACK, Safety
from vision.serve.service import Service
from vision.serve.state import health_routes, page_routes, state_routes
from vision.serve.stream import stream_routes

PAGE = Path(__file__).with_name("page")
_log = logging.getLogger("vision.serve")


def create_app(
    service: Service, *, page: Path | None = None, token: str = "", hosts: frozenset[str] | None = LOOPBACK,
    secure: bool = False, on_failure: Callable[[], None] | None = None, on_ready: Callable[[], None] | None = None,
) -> FastAPI:
    """An ASGI application over a service, which it starts, and closes at the end.

    page: a folder of static files for `/`, such as `PAGE`; none unless given. token: what every client must know;
    empty: nothing. hosts: the names under which it may be called; None: any. secure: whether it is behind HTTPS.
    on_failure: called, in a thread, when a model cannot be loaded; `service.failure` has the reason. on_ready: called
    there when all of them are.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(asyncio.to_thread(_start, service, on_failure, on_ready))
        try:
            yield
        finally:
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.to_thread(service.close)

    app = FastAPI(title="vision", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
                  description="Detection, tracking, segmentation, faces, bodies and actions.")
    app.state.service = service
    for routes in (stream_routes, task_routes, enrol_routes, job_routes, state_routes, health_routes, page_routes):
        router = routes(service)
        for route in router.routes:
            if isinstance(route, APIRoute) and not route.summary:
                route.summary = route.description.strip().partition("\n")[0].rstrip(".")
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(Safety, limits=service.limits, token=token, hosts=hosts, secure=secure)
    if page is not None:
        app.mount("/", StaticFiles(directory=page, html=True), name="page")
    else:
        app.get("/", include_in_schema=False)(lambda: RedirectResponse("docs"))
    return app


def _refused(request: Request, error: Exception) -> Response:
    """What is not there, or not asked for in this way."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path[:100]}: {error.detail}. /docs has what there is."
    return answer({"error": what, "code": "no_path"}, error.status_code, error.headers)


def _start(
    service: Service, on_failure: Callable[[], None] | None, on_ready: Callable[[], None] | None
) -> None:
    try:
        service.start()
        if on_ready is not None:
            on_ready()
    except BaseException as error:
        if on_failure is None:
            _log.error("the server cannot start: %s", error)
        else:
            on_failure()
