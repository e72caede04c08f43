"""The WebSocket: messages to a visitor and back; one that does not read is dropped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from vision.serve.service import Service
from vision.serve.visitor import Visitor

_GONE = (WebSocketDisconnect, ConnectionError, RuntimeError)
_numbers = itertools.count(1)


class SocketWire:
    """A WebSocket as a visitor sees it."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises ConnectionError where the other side does not read it (`vision.serve.safety`)."""
        await self.socket.send_text(json.dumps(message, ensure_ascii=False))


def stream_routes(service: Service) -> APIRouter:
    """`/v1/stream`."""
    router = APIRouter()

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        wire = SocketWire(socket)
        visitor = Visitor(service, wire, f"visitor {next(_numbers)}")
        tasks = [asyncio.create_task(_listen(socket, visitor)), asyncio.create_task(visitor.answer())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(visitor.close)
            with contextlib.suppress(*_GONE):
                await socket.close()

    return router


async def _listen(socket: WebSocket, visitor: Visitor) -> None:
    """Hand messages over until the visitor goes."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await visitor.text(message["text"])
        elif message.get("bytes") is not None:
            await visitor.picture(message["bytes"])
