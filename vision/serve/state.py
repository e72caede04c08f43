"""What a server says of itself: tasks, models, health, metrics, and pages of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from vision.serve import metrics, monitor_page, openapi
from vision.serve.answers import Refusal, answer, error_answer
from vision.serve.openapi import content, refusals
from vision.serve.service import Service

_CSS = Path(__file__).with_name("own.css")
_LIST = {"type": "array", "items": {"type": "object"}}
_STATE = {"type": "object", "properties": {
    "state": {"type": "string"}, "error": {"type": "string"}, "code": {"type": "string"}}}


def state_routes(service: Service) -> APIRouter:
    """What there is: tasks, models, cameras."""
    router = APIRouter()

    @router.get("/v1/tasks", tags=["server"], responses={200: content(_LIST, "the tasks"), **refusals()})
    def tasks() -> Response:
        """The tasks, with the options that a request may set."""
        return answer(service.described())

    @router.get("/v1/models", tags=["server"], responses={200: content(_LIST, "the models"), **refusals()})
    def models() -> Response:
        """The models that are loaded, with where they run, their classes and their licence."""
        return answer([_model(task, name, model)
                       for task, found in service.models.items() for name, model in found.items() if model])

    @router.get("/v1/cameras", tags=["server"], responses={200: content(_LIST, "the cameras"), **refusals()})
    def cameras() -> Response:
        """The server's own cameras, which a visitor of the stream may watch."""
        return answer(service.cameras.described())

    return router


def health_routes(service: Service) -> APIRouter:
    """How it is, for whoever starts it anew, and for Prometheus."""
    router = APIRouter()

    @router.get("/healthz", tags=["server"], responses={
        200: content(_STATE, "all is well"), 503: content(_STATE, "the workers stand still"), **refusals()})
    def healthz() -> Response:
        """Whether the workers work: if not, the server is to be started anew."""
        ill = str(service.failure or "") or service.turns.stalled(service.limits.stall)
        if ill:
            return answer({"state": "ill", "error": ill, "code": "ill"}, 503)
        return answer({"state": "well"})

    @router.get("/readyz", tags=["server"], responses={
        200: content(_STATE, "every model is loaded and warm"), 503: content(_STATE, "not yet"), **refusals()})
    def readyz() -> Response:
        """Whether requests are answered."""
        try:
            service.check_ready()
        except Refusal as error:
            return error_answer(error) if service.failure is None else answer(
                {"state": "failed", "error": str(service.failure), "code": "failed"}, 503)
        return answer({"state": "ready"})

    @router.get("/metrics", tags=["server"], responses={
        200: {"description": "for Prometheus", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **refusals()})
    def metrics_text() -> Response:
        """Requests, latency, what waits, batches, frames dropped, and what the models see."""
        return Response(service.metrics.text(), media_type=metrics.KIND)

    return router


def page_routes(service: Service) -> APIRouter:
    """The server's own pages."""
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        """The document below as a page."""
        return HTMLResponse(openapi.page(request.app.openapi()))

    @router.get("/monitor", include_in_schema=False)
    def monitor() -> HTMLResponse:
        """What the models see, as a page."""
        return HTMLResponse(monitor_page.page(service.monitor))

    @router.get("/own.css", include_in_schema=False)
    def css() -> FileResponse:
        """How the server's own pages look."""
        return FileResponse(_CSS)

    return router


def _model(task: str, name: str, model: Any) -> dict[str, Any]:
    card, engine = model.card, model.engine
    return {
        "task": task, "name": name, "backend": engine.backend, "device": engine.device, "precision": engine.precision,
        "classes": list(card.classes), "licence": card.licence, "use": card.use,
        "input": list(card.input.size_wh), "min_score": card.min_score,
    }
