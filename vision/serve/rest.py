"""`POST /v1/{task}`: pictures in, records out; a video becomes a job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from vision.errors import VisionError
from vision.io import Info
from vision.serve.answers import answer, cause_of, error_answer, status_of, told
from vision.serve.chain import Chain
from vision.serve.openapi import described_operation
from vision.serve.picture import picture_of
from vision.serve.plans import Kept
from vision.serve.safety import Refused
from vision.serve.service import Service
from vision.serve.turns import Busy
from vision.serve.upload import Upload, received
from vision.types import Frame

_log = logging.getLogger("vision.serve")


class Direct(APIRoute):
    """A route whose endpoint takes the request as it is: there are no parameters to be read for it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        return self.endpoint


def task_routes(service: Service) -> APIRouter:
    """A route for each task that is offered."""
    router = APIRouter(route_class=Direct)
    for name in service.offered:
        router.add_api_route(
            f"/v1/{name}", _endpoint(service, name), methods=["POST"], operation_id=name, tags=["tasks"],
            **described_operation(name, service))
    return router


def _endpoint(service: Service, name: str) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        began = monotonic()
        service.metrics.began(name)
        response, status = None, 499                     # the client has gone
        try:
            service.check_ready()
            upload = await received(request, service.limits, service.folder)
            response = await _done(service, name, upload, _client(request), began)
        except ConnectionError:
            raise
        except Refused as refused:                       # by the layer around us, while the body came
            status = refused.status
            raise
        except Exception as error:
            response = error_answer(error)
        finally:
            service.metrics.ended(name, response.status_code if response else status, monotonic() - began)
        return response

    return endpoint


async def _done(service: Service, name: str, upload: Upload, client: str, began: float) -> Response:
    """The answer to an upload."""
    try:
        await service.have([name])
        kept = service.plans.find(name, upload.options)
        if upload.video is not None:
            video, upload.video = upload.video, None     # whose file is the job's now
            job = service.jobs.add(video, kept.plan, client)
            return answer(job.described(), 202, {"location": f"/v1/jobs/{job.id}"})
    finally:
        if upload.video is not None:
            upload.video[1].unlink(missing_ok=True)
    results = await looked_at(service, kept, upload, client)
    failed = [one for one in results if isinstance(one, BaseException)]
    shown = [told(one) if isinstance(one, BaseException) else {"record": one} for one in results]
    whole: dict[str, Any] = {"results": shown, "server_ms": round(1000 * (monotonic() - began), 1)}
    if len(failed) < len(results):
        return answer(whole)
    status = status_of(failed[0])[0]
    return answer({**told(failed[0]), **whole}, status, {"retry-after": "1"} if status == 503 else None)


async def looked_at(service: Service, kept: Kept, upload: Upload, client: str) -> list[Any]:
    """The record of each picture, or the error that it met. Pictures of a task that needs their order are done one
    after the other by the same steps, and after one that takes too long there are no more; the others together."""
    stream = Info("", "stream", rate=upload.rate)
    chain = await asyncio.to_thread(service.open, kept.plan, stream) if kept.timed else None
    results: list[Any] = []
    future: Future[Any] | None = None
    try:
        for index, (name, data) in enumerate(upload.pictures):
            try:
                future = service.turns.submit(
                    client, partial(_look, service, chain or kept, name, data, index, index / upload.rate))
            except Busy as error:                        # those before it are done
                results.append(error)
                continue
            results.append(asyncio.wrap_future(future))
            if chain is not None:
                done, _ = await asyncio.wait(results[-1:], timeout=service.limits.timeout)
                results[-1] = _settled(results[-1], service)
                if not done:
                    results += [Busy(service.turns.waiting) for _ in upload.pictures[len(results):]]
                    break
        under_way = [one for one in results if isinstance(one, asyncio.Future)]
        if under_way:
            await asyncio.wait(under_way, timeout=service.limits.timeout)
        results = [_settled(one, service) if isinstance(one, asyncio.Future) else one for one in results]
    finally:
        if chain is not None:
            close = chain.close
            if future is None or future.done():
                await asyncio.to_thread(close)
            else:                                        # a picture is late, and the steps are at work
                future.add_done_callback(lambda _: close())
    for one in results:
        if isinstance(one, BaseException):
            service.metrics.drop(cause_of(one))
            if not isinstance(one, VisionError):
                _log.error("a picture failed", exc_info=one)
    return results


def _settled(waiting: asyncio.Future[Any], service: Service) -> Any:
    """What became of a picture; one that had to wait for too long is given up."""
    if not waiting.done():
        waiting.cancel()
        return Busy(service.turns.waiting)
    return waiting.exception() or waiting.result()


def _look(service: Service, by: Chain | Kept, name: str, data: bytes, index: int, time: float) -> dict[str, Any]:
    """The record of one picture; called in a worker. by: the steps of its stream, or the plan of a still picture."""
    image = picture_of(data, service.limits.max_pixels)
    if isinstance(by, Chain):
        return service.seen(by.look(Frame(image, index, time, name)))
    frame = Frame(image, index, float(index), name)
    with by.steps(frame) as chain:
        return service.seen(chain.look(frame))


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
