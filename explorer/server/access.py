"""Who may ask how much: limits, token and headers, before any address is looked at."""

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from explorer.reading.refusals import NO_TOKEN, TOO_LARGE, TOO_LONG
from explorer.server.refusal_answers import refused

MOST_QUERY = 8192
"""Bytes of an address, path and query each, at most."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


_MOST_BODY = {"PUT": 64 << 10}
MOST_POSTED = 32 << 20
"""Bytes that are sent here, at most: a label, and a file of labels or a picture."""


class Guarded:
    """The app behind its limits and, where `token` is set, its bearer token."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may be asked, and put the headers on every answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (self._refusal(scope) or self._app)(scope, _bounded(scope, receive), send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if self._token is not None and not self._is_known(Headers(scope=scope)):
            return refused(NO_TOKEN, "the server asks for its token; send the header Authorization: Bearer TOKEN")
        longest = max(len(scope["query_string"]), len(scope.get("raw_path") or b""))
        if longest > MOST_QUERY:
            return refused(TOO_LONG, f"the address has {longest} bytes; ask with at most {MOST_QUERY}")
        return None

    def _is_known(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        own = str(self._token).encode()
        return hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), own) and kind.lower() == "bearer"


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """What is sent, up to its bound; beyond it, 413."""
    most, read = _MOST_BODY.get(scope["method"], MOST_POSTED), 0

    async def receive_bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise HTTPException(TOO_LARGE, f"the body has more than {most} bytes; send at most these")
        return message

    return receive_bounded
