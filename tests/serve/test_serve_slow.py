"""Clients that read an answer slowly, or not at all: they are dropped, and the others do not notice."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from serving import Running, running, until

from vision.serve import rest
from vision.serve.limits import Limits
from vision.serve.service import Service

TIMEOUT, LARGE = 1.5, 1_200_000
ASKED = b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: 1\r\n\r\nx"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """One whose records have a megabyte, whatever the picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest, "_look", lambda *_: {"kind": "frame", "much": "x" * LARGE})
        with running(Service(["classify"], limits=Limits(timeout=TIMEOUT, max_rate=1000))) as one:
            yield one


def asking(server: Running, data: bytes) -> socket.socket:
    """A connection with a small window, on which something was asked."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.port))
    with suppress(OSError):                              # an answer that is not read stops the questions, too
        connection.sendall(data)
    return connection


def read(connection: socket.socket, size: int, pause: float, seconds: float = 15) -> tuple[int, bool]:
    """How many bytes came, `size` at a time, and whether the server ended the connection."""
    came, end = 0, time.monotonic() + seconds
    with connection:
        while time.monotonic() < end:
            try:
                part = connection.recv(size)
            except ConnectionError:
                return came, True
            if not part:
                return came, True
            came += len(part)
            if part.endswith(b"}") and connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                return came, True
            time.sleep(pause)
    return came, False


def held(server: Running, connection: socket.socket) -> bool:
    """Whether the server still holds a connection, by the kernel's word."""
    here, there = (f":{port:04X}" for port in (server.port, connection.getsockname()[1]))
    with open("/proc/net/tcp", encoding="utf-8") as table:
        return any(row.split()[1].endswith(here) and row.split()[2].endswith(there) for row in table)


def test_one_that_reads_nothing_is_dropped(server: Running) -> None:
    with asking(server, ASKED) as silent:
        assert held(server, silent)
        with server.client() as client:                  # others are answered all the while
            began, took = time.monotonic(), []
            while held(server, silent):
                assert time.monotonic() - began < 15
                asked = time.monotonic()
                assert client.get("/healthz").status_code == 200
                took.append(time.monotonic() - asked)
                time.sleep(0.05)
        assert np.percentile(took, 90) < 0.5


def test_one_that_dribbles_is_dropped(server: Running) -> None:
    came, ended = read(asking(server, ASKED), 512, 0.1, 40)
    assert ended
    assert came < 700_000


def test_one_that_asks_on_without_reading_is_dropped(server: Running) -> None:
    with asking(server, b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 400) as silent:
        until(lambda: not held(server, silent), 15)


def test_one_that_wants_the_end_of_the_connection_is_dropped(server: Running) -> None:
    with asking(server, ASKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as silent:
        until(lambda: not held(server, silent), 15)


def test_one_that_reads_steadily_gets_all(server: Running) -> None:
    """Slower than the limit of time, but not slower than the limit of speed."""
    came, began = 0, time.monotonic()
    with asking(server, ASKED) as connection:
        while came < LARGE:
            part = connection.recv(16384)
            assert part
            came += len(part)
            time.sleep(0.045)
    assert came >= LARGE
    assert time.monotonic() - began > TIMEOUT
