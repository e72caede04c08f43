"""Connections before there is a request: how many, how large a head, how long it may take to come."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from vision.serve.limits import Limits

_LARGEST_HEAD = 32 << 10                                 # bytes of a request's line and headers
_HEAD_S = 10.0                                           # for them to come
SLOWEST = 64 << 10                                       # bytes a second that pass, after the time limit
_NO_LINGER = struct.pack("ii", 1, 0)


def guarded(limits: Limits) -> type[HttpToolsProtocol]:
    """uvicorn's protocol with these bounds, past which a connection is answered with the reason and closed."""
    return type("Guarded", (Guarded,), {"limits": limits})


class Guarded(HttpToolsProtocol):
    """One connection. `scope["state"]["abort"]` ends it at once, with what is still to be sent; `["flow"]` says whether
    something is. limits: those of the server."""

    limits: ClassVar[Limits]
    _head = 0                                        # bytes of the head so far
    _patience: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None           # looks whether the rest of an answer is read

    def connection_made(self, transport: Any) -> None:
        """Count the connection."""
        self.app_state = {**self.app_state, "abort": self._drop}
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
                self._refuse_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head = 0
        self._look_no_more()
        if self._patience is None:
            self._patience = self.loop.call_later(min(_HEAD_S, self.limits.timeout), self._too_slow)

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._at_ease()
        parsed = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if max(self._head, parsed) > _LARGEST_HEAD:
            self._refuse_head()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of its body; of none that was refused."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer was written; what of it the client has not read yet waits here."""
        super().on_response_complete()
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._at_ease()
        self._look_no_more()
        super().connection_lost(exc)

    def _at_ease(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _look_later(self) -> None:
        self._look_no_more()
        if left := self.transport.get_write_buffer_size():
            self._unread = self.loop.call_later(self.limits.timeout, self._look, left)

    def _look(self, before: int) -> None:
        """End the connection of a client that does not read, or hardly."""
        if self.transport.get_write_buffer_size() > max(0.0, before - self.limits.timeout * SLOWEST):
            self._drop()
        else:
            self._look_later()

    def _drop(self) -> None:
        """End the connection at once: what is unsent is thrown away, here and in the system."""
        if self.cycle is not None:
            self.cycle.disconnected = True               # nothing more is written
        with suppress(OSError, AttributeError, RuntimeError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _look_no_more(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _too_slow(self) -> None:
        self._patience = None
        self._refuse(408, "the request did not come in time.")

    def _refuse_head(self) -> None:
        self._refuse(431, f"a request's headers have at most {_LARGEST_HEAD} bytes.")

    def _refuse(self, status: int, why: str) -> None:
        self._at_ease()
        if self.transport.is_closing():
            return
        body = f'{{"error": "{why}", "code": "connection"}}'.encode()
        head = (b"content-type: application/json\r\nconnection: close\r\nretry-after: 5\r\n"
                b"content-length: %d\r\n\r\n")
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()
        self._look_later()
