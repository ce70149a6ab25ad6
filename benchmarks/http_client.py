"""A client that takes little processor time: a part of benchmarks/explorer_load.py, which shares its cores with it."""

import socket
import time
from typing import NamedTuple

_PIECE = 1 << 20


class Answer(NamedTuple):
    """Seconds that it took, and bytes of the body."""

    seconds: float
    size: int


class Client:
    """One connection to a server on loopback; answers are of a known length."""

    def __init__(self, port: int) -> None:
        self._end = f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, address: str) -> Answer:
        """Ask for an address and read the answer to its end."""
        began = time.perf_counter()
        self._socket.sendall(b"GET " + address.encode() + self._end)
        read = self._socket.recv(_PIECE)
        while (end := read.find(b"\r\n\r\n")) < 0:
            read += self._received(address)
        head = read[:end].lower()
        if not head.startswith(b"http/1.1 200 "):
            raise SystemExit(f"{address}: {read[:300]!r}")
        size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        missing = size - (len(read) - end - 4)
        while missing:
            missing -= len(self._received(address))
        return Answer(time.perf_counter() - began, size)

    def _received(self, address: str) -> bytes:
        piece = self._socket.recv(_PIECE)
        if not piece:
            raise SystemExit(f"{address}: the server ended the connection")
        return piece
