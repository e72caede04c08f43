"""A real server on a free port of this machine, with the real models, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from vision.serve.app import create_app
from vision.serve.connections import guarded
from vision.serve.launch import listen
from vision.serve.service import Service


@dataclass
class Running:
    """A server that runs."""

    service: Service
    port: int
    token: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    def client(self, **more: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **more)


@contextmanager
def running(service: Service, ready: bool = True, **more: Any) -> Iterator[Running]:
    """A server for a `with` block. more: as `create_app` has it."""
    listening = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(service, **more), http=guarded(service.limits), ws="websockets-sansio",
        ws_per_message_deflate=False, log_config=None, access_log=False, proxy_headers=False,
        timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        until(lambda: server.started and (service.ready or not ready or service.failure is not None), 120)
        yield Running(service, listening.getsockname()[1], more.get("token", ""))
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listening.close()


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
