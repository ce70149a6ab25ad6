"""A fake of an OpenAI-compatible chat endpoint: a real HTTP server with scripted answers."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What the server sends: a chat answer with this text, or a body as it is."""

    text: str | None = None
    status: int = 200
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> bytes:
        """The body as sent."""
        chat = {"choices": [{"message": {"role": "assistant", "content": self.text}}]}
        return (self.body if self.text is None else json.dumps(chat)).encode()


@dataclass
class FakeEndpoint:
    """Its address, and what it was asked; the last reply is repeated."""

    url: str = ""
    questions: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def fake_endpoint(replies: Sequence[Reply]) -> Iterator[FakeEndpoint]:
    """Serve these replies on loopback, one per question."""
    fake = FakeEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reply = replies[min(len(fake.questions), len(replies) - 1)]
            length = int(self.headers["Content-Length"])
            fake.questions.append(json.loads(self.rfile.read(length)) | {"path": self.path})
            fake.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def scenes(*named: tuple[str, Sequence[str]]) -> str:
    """An answer as the prompt asks for it: scenes with sentences of labels 3, 2, 1 and 0."""
    return json.dumps([{"scene": name, **dict(zip("3210", texts))} for name, texts in named], ensure_ascii=False)
