"""Connections before there is a request: how many, how large a head, how long it may take to come."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from vision.serve.limits import Limits

_LARGEST_HEAD = 32 << 10                                 # bytes of a request's line and headers
_HEAD_S = 10.0                                           # for them to come


def guarded(limits: Limits) -> type[HttpToolsProtocol]:
    """uvicorn's protocol with these bounds, past which a connection is answered with the reason and closed."""
    return type("Guarded", (Guarded,), {"limits": limits})


class Guarded(HttpToolsProtocol):
    """One connection. `scope["state"]["abort"]` ends it at once, with what is still to be sent; `["flow"]` says whether
    something is. limits: those of the server."""

    limits: ClassVar[Limits]
    _head = 0                                        # bytes of the head so far
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Count the connection."""
        self.app_state = {**self.app_state, "abort": transport.abort}
        super().connection_made(transport)
        self.app_state["flow"] = self.flow
        address = self.client[0] if self.client else ""
        clients = [getattr(one, "client", None) for one in self.connections]
        own = sum(client is not None and client[0] == address for client in clients)
        if len(self.connections) > self.limits.max_connections or own > max(1, self.limits.max_connections // 2):
            self._refuse(429, "too many connections. Try again in a moment.")
            return
        self._patience = self.loop.call_later(min(_HEAD_S, self.limits.timeout), self._too_slow)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._patience is not None:
            self._head += len(data)
            if self._head > _LARGEST_HEAD:
                self._refuse(431, f"a request's headers have at most {_LARGEST_HEAD} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head = 0
        if self._patience is None:
            self._patience = self.loop.call_later(min(_HEAD_S, self.limits.timeout), self._too_slow)

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._at_ease()
        if self._head <= _LARGEST_HEAD:
            super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._at_ease()
        super().connection_lost(exc)

    def _at_ease(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        self._patience = None
        self._refuse(408, "the request did not come in time.")

    def _refuse(self, status: int, why: str) -> None:
        self._at_ease()
        if self.transport.is_closing():
            return
        body = f'{{"error": "{why}", "code": "connection"}}'.encode()
        head = (b"content-type: application/json\r\nconnection: close\r\nretry-after: 5\r\n"
                b"content-length: %d\r\n\r\n")
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()
