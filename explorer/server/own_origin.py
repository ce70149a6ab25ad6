"""Who may ask a server on loopback: its own pages and this machine's programs, no page of another site.

A browser hands any page's requests on to loopback. It names the page in `Origin`, and in `Host` the name under which it
found the server, which a foreign name server may have led here (DNS rebinding).
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_REFUSED = "A page of another origin may not use this server; open the server's own pages at {own}\n"


def own_origins(names: Sequence[str], port: int) -> list[str]:
    """The origins of the pages of a server that these names lead to."""
    return [f"http://{name}:{port}" for name in _in_urls(names)]


def own_pages_only(app: ASGIApp, names: Sequence[str], port: int) -> ASGIApp:
    """The app, where requests to another host's name (400) or from another origin's page (403) are refused; `names`
    are those that lead here: on loopback its three, beyond it `*`, for a token is asked for there."""
    guarded = _OwnOrigin(app, own_origins(names, port))
    return TrustedHostMiddleware(guarded, allowed_hosts=_in_urls(names), www_redirect=False)


def _in_urls(names: Sequence[str]) -> list[str]:
    return [f"[{name}]" if ":" in name else name for name in names]


class _OwnOrigin:
    def __init__(self, app: ASGIApp, own: Sequence[str]) -> None:
        self._app, self._own = app, own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from a page of this server, or from no page at all."""
        app = self._app
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            if self._is_foreign(headers):
                app = PlainTextResponse(_REFUSED.format(own=f"http://{headers.get('host')}"), 403)
        await app(scope, receive, send)

    def _is_foreign(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or origin in self._own:
            return False
        try:  # a forwarded port: page and server have the same name
            return urlsplit(origin).netloc != headers.get("host")
        except ValueError:
            return True
