"""Prefect's server on loopback, for its own pages and this machine's programs alone.

python -m cli.prefect_server PORT
"""

import sys

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import PREFECT_SERVER_CORS_ALLOWED_ORIGINS, get_current_settings, temporary_settings

from explorer.server.own_origin import own_origins, own_pages_only
from flows.runtime.environment import LOOPBACK


def main(port: int) -> None:
    """Serve until SIGTERM, as `prefect server start` does."""
    settings = get_current_settings().server
    with temporary_settings({PREFECT_SERVER_CORS_ALLOWED_ORIGINS: ",".join(own_origins(LOOPBACK, port))}):
        app = create_app(final=True)
    uvicorn.run(
        own_pages_only(app, LOOPBACK, port),
        host="127.0.0.1",
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
