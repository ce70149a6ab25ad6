"""The explorer as a running server: bound, announced, and ended by a signal."""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from core.errors import BadInput
from core.store.workspace import Workspace
from explorer.labels.store import FILE, FeatureLabels
from explorer.reading.library import Library
from explorer.reading.refusals import WRONG, Refusal
from explorer.server.app import guarded, make_app
from explorer.server.served import Served

_LONGEST_REQUEST = 2 << 20
"""Bytes of a request's head that are read before it is refused in words."""
_GRACE_S = 3


@dataclass(frozen=True)
class Place:
    """Where a server listens: `names` are those that lead to it on loopback; port 0 is any that is free."""

    host: str
    port: int
    names: Sequence[str]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host in self.names:
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    def listen(self) -> socket.socket:
        """The bound socket.

        Raises:
            BadInput: the port is taken, or the host is none of this machine's.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Named, for asyncio sends at once (TCP_NODELAY) what it knows to be TCP: 40 ms per answer.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self.host, self.port))
        except (OSError, OverflowError) as error:
            listening.close()
            reason = getattr(error, "strerror", None) or error
            raise BadInput(f"explorer: {self.host}:{self.port}: {reason}; choose another --port or --host") from error
        return listening

    def url(self, port: int) -> str:
        """The address of its pages."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"


def what_is_served(workspace: Workspace, names: Sequence[str], layer: int | None) -> Served:
    """What a server of these studies serves: all of the workspace's where none is named. A study that is named alone,
    or is alone in the workspace, is the default one, and `layer` its default layer.

    Raises:
        BadInput: a study has not run here, or the layer is not there.
    """
    library = Library(workspace, names)
    own = {study.name for study in library.studies()}
    default = names[0] if len(names) == 1 else next(iter(own)) if len(own) == 1 else None
    if layer is not None:
        if default is None:
            raise Refusal(WRONG, "--layer: is a layer of one study; name that STUDY alone")
        library.layer(default, layer)
    return Served(library, FeatureLabels(workspace.root / FILE), default, layer)


def run(
    served: Served,
    place: Place,
    token: str | None,
    announce: Callable[[str], None],
    extend: Callable[[FastAPI], None] | None = None,
) -> None:
    """Serve until a signal ends it, with what `extend` adds to the app; `announce` is told the address once it is
    listened on.

    Raises:
        BadInput: the place cannot be listened on.
        ValueError: others reach the place, and no token is asked for.
    """
    if token is None and not place.is_loopback:
        raise ValueError("a server that others reach asks for a token")
    listening = place.listen()
    port = int(listening.getsockname()[1])
    names = (*place.names, place.host) if place.is_loopback else ("*",)
    config = uvicorn.Config(
        guarded(make_app(served, extend), names, port, token),
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_LONGEST_REQUEST,
        timeout_graceful_shutdown=_GRACE_S,
    )
    with listening:
        listening.listen(config.backlog)
        announce(place.url(port))
        uvicorn.Server(config).run(sockets=[listening])
