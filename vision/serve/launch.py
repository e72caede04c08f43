"""From options to a server that runs until it is told to end."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from vision.errors import UsageError
from vision.serve.app import create_app
from vision.serve.connections import guarded
from vision.serve.drift import Reference
from vision.serve.safety import LOOPBACK
from vision.serve.service import Service
from vision.serve.settings import ServerOptions
from vision.serve.tls import certificate, checked
from vision.steps.plan import read_plan

_LARGEST_MESSAGE = 16 << 20                              # of a WebSocket: a picture
_UNREAD = 256 << 10                                      # bytes that may wait for a client that does not read
_GRACE_S = 5                                             # for what is under way, at the end


def launch(
    options: ServerOptions, *, page: Path | None = None, lazy: bool = False, told: Callable[[str], None] = print
) -> None:
    """Serve until interrupted.

    page: a folder of static files for `/`. lazy: load models when they are first asked for. told: called once with the
    server's address, when it listens. Raises UsageError for a port that is taken, and what a model that cannot be
    loaded raises.
    """
    own = [] if options.plan is None else read_plan(options.plan)
    offered = () if own and not options.do else options.offered()
    reference = None if options.monitor is None else Reference.load(options.monitor)
    listening = listen(options.host, options.port)
    files: tuple[Path, Path] | None = None
    if options.cert is not None and options.cert_key is not None:
        files = checked((options.cert, options.cert_key))
    elif options.tls:
        files = certificate(options.host)
    service = Service(offered, options.model, options.pool(), options, lazy=lazy,
                      cameras=options.camera, reference=reference, own=own)
    server: uvicorn.Server | None = None

    def fail() -> None:
        if server is not None:
            server.should_exit = True

    def settle() -> None:                                # what the models brought stays: no garbage is looked for in it
        gc.collect()
        gc.freeze()

    app = create_app(
        service, page=page, token=options.secret, secure=options.secure, on_failure=fail, on_ready=settle,
        hosts=LOOPBACK | {options.host.lower()} if options.is_loopback else None)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)     # an address may hold a token, and errors are told by us
    server = uvicorn.Server(uvicorn.Config(
        app, http=guarded(options), ws="websockets-sansio", ws_per_message_deflate=False, ws_max_size=_LARGEST_MESSAGE,
        log_config=None, access_log=False, proxy_headers=False, server_header=False, lifespan="on",
        timeout_graceful_shutdown=_GRACE_S, timeout_keep_alive=15,
        ssl_certfile=files and files[0], ssl_keyfile=files and files[1],
    ))
    service.ending = lambda: bool(server and server.should_exit)
    port = listening.getsockname()[1]
    shown = f"[{options.host}]" if ":" in options.host else options.host
    told(f"{'https' if options.secure else 'http'}://{shown}:{port}")
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()
    if service.failure is not None:
        raise service.failure


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError in words."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.create_server((host, port), family=family, backlog=512)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)    # these two hold for each connection
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)       # else half of an answer waits 40 ms
        return made
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot listen on {host} port {port} ({why}). Give another: --port N, or --port 0 for a free "
                         "one.") from error
