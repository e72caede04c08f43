"""`POST /v1/enrol`: a look at a face, which its owner keeps and sends along: nothing is kept here."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vision.errors import VisionError
from vision.serve.answers import Refusal, answer, error_answer
from vision.serve.openapi import content, refusals
from vision.serve.picture import picture_of
from vision.serve.safety import media_type
from vision.serve.service import Service

_LOOK = {
    "type": "object", "required": ["look", "model"], "properties": {
        "look": {"type": "string", "description": "for `identify`: {\"people\": [\"NAME:LOOK\", ...]}"},
        "model": {"type": "string", "description": "the network that looked; others do not understand it"}},
}
_BODY = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/jpeg", "image/png", "image/webp")}


def enrol_routes(service: Service) -> APIRouter:
    """`/v1/enrol`, where `identify` is offered."""
    router = APIRouter(tags=["tasks"])
    if "identify" not in service.offered:
        return router

    @router.post("/v1/enrol", operation_id="enrol", responses={
        200: content(_LOOK, "what the network sees in the face"), **refusals(400, 408, 413, 415, 422, 500, 503),
    }, openapi_extra={"requestBody": {"required": True, "content": _BODY}})
    async def enrol(request: Request) -> Response:
        """A look at the one face in a picture, or at one that is by far the largest."""
        try:
            service.check_ready()
            if not media_type(request.headers).startswith("image/"):
                raise Refusal(415, "kind", "a look is at one picture: image/jpeg, image/png or image/webp.")
            data = await request.body()
            await service.have(["identify"])
            client = request.client.host if request.client else ""
            future = service.turns.submit(client, partial(_look, service, data))
            return answer(await asyncio.wrap_future(future))
        except VisionError as error:
            return error_answer(error)

    return router


def _look(service: Service, data: bytes) -> dict[str, Any]:
    """What a picture's face looks like; called in a worker. Raises Refusal where it cannot be told."""
    from vision.people.enrol import look
    from vision.people.written import written
    from vision.steps import FindFaces, Identify

    image = picture_of(data, service.limits.max_pixels)
    faces, identify = service.own.get("faces", FindFaces()), service.own.get("identify", Identify())
    landmarker, embedder = faces.load(service.pool), identify.load(service.pool).embedder
    seen = look(landmarker(image), embedder, image)
    if seen.vector is None:
        raise Refusal(422, "no_look", f"nobody was enrolled: {seen.why}.")
    return {"look": written(seen.vector), "model": embedder.name}
