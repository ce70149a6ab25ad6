"""Who may ask a server on loopback: its own pages and this machine's programs, no page of another site.

A browser hands any page's requests on to loopback. It names the page in `Origin`, and in `Host` the name under which it
found the server, which a foreign name server may have led here (DNS rebinding).
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.runtime.environment import LOOPBACK

_NAMES = [f"[{name}]" if ":" in name else name for name in LOOPBACK]
_REFUSED = "A page of another origin may not use this server; open the server's own pages at http://127.0.0.1:{port}\n"


def own_origins(port: int) -> list[str]:
    """The origins of the pages of a server on loopback."""
    return [f"http://{name}:{port}" for name in _NAMES]


def own_pages_only(app: ASGIApp, port: int) -> ASGIApp:
    """The app, where requests to another host's name (400) or from another origin's page (403) are refused."""
    return TrustedHostMiddleware(_OwnOrigin(app, port), allowed_hosts=_NAMES, www_redirect=False)


class _OwnOrigin:
    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app, self._port, self._own = app, port, own_origins(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from a page of this server, or from no page at all."""
        if scope["type"] in ("http", "websocket") and self._is_foreign(Headers(scope=scope)):
            app: ASGIApp = PlainTextResponse(_REFUSED.format(port=self._port), 403)
        else:
            app = self._app
        await app(scope, receive, send)

    def _is_foreign(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or origin in self._own:
            return False
        return urlsplit(origin).netloc != headers.get("host")  # a forwarded port: page and server have the same name
