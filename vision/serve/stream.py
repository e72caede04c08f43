"""The WebSocket: messages to a visitor and back; one that does not read is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from vision.serve.rates import Rates
from vision.serve.service import Service
from vision.serve.visitor import Visitor

_GONE = (WebSocketDisconnect, ConnectionError, RuntimeError)
_numbers = itertools.count(1)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What Starlette raises of a connection that is over, as a ConnectionError."""
    try:
        yield
    except (WebSocketDisconnect, RuntimeError) as error:
        raise ConnectionError("the visitor has gone") from error


class SocketWire:
    """A WebSocket as a visitor sees it."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises ConnectionError where the other side does not read it (`vision.serve.safety`), or has
        gone."""
        with _told():
            await self.socket.send_text(json.dumps(message, ensure_ascii=False))

    async def show(self, picture: bytes) -> None:
        """Send a picture."""
        with _told():
            await self.socket.send_bytes(picture)


def stream_routes(service: Service) -> APIRouter:
    """`/v1/stream`."""
    router = APIRouter()

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        wire = SocketWire(socket)
        visitor = Visitor(service, wire, f"visitor {next(_numbers)}")
        most = service.limits.max_rate
        tasks = [asyncio.create_task(_listen(socket, visitor, most)), asyncio.create_task(visitor.answer())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            visitor.close()
            with contextlib.suppress(*_GONE):
                await socket.close()

    return router


async def _listen(socket: WebSocket, visitor: Visitor, most: float) -> None:
    """Hand messages over until the visitor goes, or sends more than is taken."""
    rates = Rates(most, 2 * most)
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if not rates.take(""):
            await visitor.wire.tell({"error": f"more than {most:g} messages a second.", "code": "rate"})
            return
        if message.get("text") is not None:
            await visitor.text(message["text"])
        elif message.get("bytes") is not None:
            await visitor.picture(message["bytes"])
