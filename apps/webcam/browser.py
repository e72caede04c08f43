"""A camera in a browser: the server and its page, in a page of code. Copy it, and make it yours.

    python -m apps.webcam.browser           # then open http://localhost:8000

The page (`vision/serve/page/`) is plain modules without a build step: copy it too, and give your folder as `page`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from socket import gethostname
from urllib.parse import urlencode

from vision.errors import VisionError
from vision.serve.app import PAGE
from vision.serve.launch import launch
from vision.serve.settings import ServerOptions

_HERE = ("0.0.0.0", "::", "127.0.0.1", "localhost")      # where a server is at localhost, too


def serve(options: ServerOptions, begin: Sequence[str] = (), page: Path = PAGE) -> None:
    """Serve the page until interrupted.

    options: where it listens, who may ask, which cameras of this machine visitors may watch. begin: the tasks that the
    page begins with. Models are loaded when they are first asked for. Raises as `vision.serve.launch.launch` does.
    """
    query = {"token": options.secret, "do": ",".join(begin), "source": "camera:0" if options.camera else ""}
    query = {name: value for name, value in query.items() if value}

    def told(address: str) -> None:
        asked = f"/?{urlencode(query, safe=',:')}" if query else "/"
        scheme, port = address.partition(":")[0], address.rpartition(":")[2]
        host = "localhost" if options.host in _HERE else f"[{options.host}]" if ":" in options.host else options.host
        print(f"open {scheme}://{host}:{port}{asked}", file=sys.stderr, flush=True)
        if not options.is_loopback:
            print(f"from another device: {scheme}://{gethostname()}:{port}{asked}", file=sys.stderr, flush=True)

    launch(options, page=page, lazy=True, told=told)


def main() -> None:
    """A server for this machine alone."""
    try:
        serve(ServerOptions(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
    except VisionError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
