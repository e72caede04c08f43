"""Who may ask, from where, how much and how often: one layer around the application."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from vision.serve.connections import SLOWEST
from vision.serve.limits import Limits
from vision.serve.rates import Rates

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADERS = {
    "content-security-policy":
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_OPEN = frozenset(("/healthz", "/readyz"))               # asked by whoever starts and restarts the server
_OWN_SITE = frozenset(("same-origin", "none"))           # Sec-Fetch-Site of this server's pages, and of the user
_FOREIGN = "pages of other servers may not use this one."
_READING = frozenset(("GET", "HEAD", "OPTIONS"))
_VIDEO_PATHS = "/v1/"
_COOKIE = "vision_token"
_GUESSES, _GUESSING_S = 10, 60.0                         # wrong tokens of one address in so many seconds


class Refused(Exception):
    """A request that is not let in. status, code, and the reason in words."""

    def __init__(self, status: int, code: str, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status, self.code, self.headers = status, code, headers


class Safety:
    """An ASGI layer. token: what everybody must know; empty: nothing. hosts: the names under which the server may be
    called, so that no page of a stranger reaches it by a name of its own; None: any. secure: whether it is HTTPS.
    """

    def __init__(self, app: Any, limits: Limits, token: str = "", hosts: frozenset[str] | None = LOOPBACK,
                 secure: bool = False) -> None:
        self.app, self.limits, self.token, self.hosts, self.secure = app, limits, token, hosts, secure
        self._guesses = Rates(_GUESSES / _GUESSING_S, _GUESSES)
        self._asked = Rates(limits.max_rate, 2 * limits.max_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer with what is wrong."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        begun = False

        async def guarded_send(message: Message) -> None:
            nonlocal begun
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                begun = True
                message["headers"] = [*_missing(message.get("headers", [])), *message.get("headers", [])]
            flow = scope.get("state", {}).get("flow")
            if scope["type"] == "http" and flow is not None and not flow.write_paused:
                await send(message)                      # which will not wait
                return
            try:
                async with asyncio.timeout(self.limits.timeout):
                    await send(message)
            except TimeoutError:                         # it does not read: what waits for it is thrown away
                scope.get("state", {}).get("abort", _nothing)()
                raise ConnectionError("the client does not read") from None

        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
            self._check(scope, headers)
            if scope["type"] == "http":
                if await self._log_in(scope, guarded_send):
                    return
                receive = self._bounded(scope, headers, receive)
            await self.app(scope, receive, guarded_send)
        except Refused as refused:
            if not begun:
                await _answer(scope["type"], refused, guarded_send)
        except ConnectionError:
            pass

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raise Refused for who may not ask this."""
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            raise Refused(421, "host", f"this server does not answer to the name {host[:60]!r}.")
        reading = scope["type"] == "http" and scope["method"] in _READING
        origin = headers.get("origin")
        if origin is not None and not reading and _place(origin) != host.lower():
            raise Refused(403, "origin", _FOREIGN)
        client = (scope.get("client") or ("",))[0]
        if scope["path"] not in _OPEN:
            if not self._asked.take(client):
                why = f"more than {self.limits.max_rate:g} requests a second."
                raise Refused(429, "rate", why, **{"retry-after": "1"})
            self._check_token(scope, headers, client)

    def _check_token(self, scope: Scope, headers: dict[str, str], client: str) -> None:
        if not self.token:
            return
        foreign = scope["type"] == "http" and headers.get("sec-fetch-site", "none") not in _OWN_SITE
        if foreign and headers.get("sec-fetch-mode") != "navigate":      # which learns nothing of the token, either
            raise Refused(403, "origin", _FOREIGN)
        if self._guesses.left(client) < 1:
            raise Refused(429, "guessing", "too many wrong tokens. Try again in a minute.", **{"retry-after": "60"})
        given = _token(scope, headers)
        if given and hmac.compare_digest(given.encode(), self.token.encode()):
            return
        if given and foreign:                            # a link of theirs locks nobody out
            raise Refused(403, "origin", _FOREIGN)
        if given:
            self._guesses.take(client)
        raise Refused(401, "token", "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN.",
                      **{"www-authenticate": "Bearer"})

    async def _log_in(self, scope: Scope, send: Send) -> bool:
        """Turn a token in the page's address into a cookie, so that it stands in no history."""
        query = scope.get("query_string", b"").decode("latin-1")
        pairs = parse_qsl(query, keep_blank_values=True)
        wanted = scope["path"] == "/" and scope["method"] == "GET" and self.token and "token" in dict(pairs)
        if not wanted:
            return False
        left = urlencode([pair for pair in pairs if pair[0] != "token"])
        cookie = f"{_COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"
        await send({"type": "http.response.start", "status": 303, "headers": [
            (b"location", f"/?{left}".rstrip("?").encode()), (b"content-length", b"0"),
            (b"set-cookie", (cookie + ("; Secure" if self.secure else "")).encode()),
        ]})
        await send({"type": "http.response.body", "body": b""})
        return True

    def _bounded(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
        """`receive` of a body that has a bound in bytes and in time. Raises Refused."""
        most = self.limits.max_body
        if scope["path"].startswith(_VIDEO_PATHS) and not media_type(headers).startswith("image/"):
            most = max(most, self.limits.max_video)
        too_large = Refused(413, "body", f"a request has at most {most} bytes.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > most:
            raise too_large
        came, began, whole = 0, monotonic(), False
        has_body = length != "0" or "transfer-encoding" in headers

        async def bounded() -> Message:
            nonlocal came, whole
            if whole:                                    # what comes now is only that the client has gone
                return await receive()
            left = self.limits.timeout + came / SLOWEST - (monotonic() - began)
            try:
                async with asyncio.timeout(max(0.0, left)):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, "slow", "the request did not come in time.", connection="close") from None
            if message["type"] == "http.disconnect" and has_body:
                raise ConnectionError("the client has gone in the middle of a request")
            came += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if came > most:
                raise too_large
            return message

        return bounded


def _token(scope: Scope, headers: dict[str, str]) -> str:
    """The token that a request shows; empty for none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token")
    if asked:
        return str(asked[0])
    cookies = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return next((value.strip('"') for name, _, value in cookies if name == _COOKIE), "")   # whatever others look like


def media_type(headers: Mapping[str, str]) -> str:
    """What a request says that its body is, in small letters and without parameters; empty for nothing."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _place(origin: str) -> str:
    """Host and port of an Origin header; empty where it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    return (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower()


def _missing(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of every answer that this one does not set itself."""
    there = {name.lower() for name, _ in headers}
    return [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in there]


async def _answer(kind: str, refused: Refused, send: Send) -> None:
    body = json.dumps({"error": str(refused), "code": refused.code}).encode()
    prefix = "http" if kind == "http" else "websocket.http"
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    await send({"type": f"{prefix}.response.start", "status": refused.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()]})
    await send({"type": f"{prefix}.response.body", "body": body})


def _nothing() -> None:
    """Where the connection cannot be ended at once."""
