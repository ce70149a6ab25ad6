"""OpenAI-compatible chat endpoints for the tests, real HTTP servers on loopback: a fake with scripted answers, and a
real small model.

Both count every question that they are sent, which a real endpoint would have charged. `python -m tests.chat_server
PORT LOG SECONDS` is the fake as a process of its own, for tests that kill it: it repeats each question after so many
seconds and writes it to LOG before.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Scripted(NamedTuple):
    """What the fake sends after `seconds`: a chat answer with this text, or a body as it is."""

    text: str | None = None
    status: int = 200
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    usage: tuple[int, int] | None = None
    seconds: float = 0.0

    @property
    def content(self) -> bytes:
        """The body as sent."""
        message = {"role": "assistant", "content": self.text}
        chat: dict[str, Any] = {"choices": [{"message": message, "finish_reason": "stop"}]}
        if self.usage is not None:
            chat["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), self.usage))
        return (self.body if self.text is None else json.dumps(chat)).encode()


Answering = Callable[[dict[str, Any]], Scripted]


@dataclass
class ChatServer:
    """Its address, and what it was asked, in the order in which questions came."""

    url: str = ""
    questions: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def counts(self) -> Counter[str]:
        """How often each question came, by its text."""
        return Counter(question_text(question) for question in self.questions)


def question_text(body: dict[str, Any]) -> str:
    """The texts of a question's last message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "[picture]") for part in content)


@contextmanager
def fake_endpoint(replies: Sequence[Scripted] | Answering, port: int = 0) -> Iterator[ChatServer]:
    """A fake: scripted answers in their order, the last one repeated, or what a function makes of each question."""
    answering = replies if callable(replies) else _in_order(replies)
    with _served(answering, port) as server:
        yield server


@contextmanager
def real_endpoint(folder: Path) -> Iterator[ChatServer]:
    """A real model, the checkpoint in `folder`, which answers with its likeliest tokens."""
    with _served(_RealModel(folder), 0) as server:
        yield server


def _in_order(replies: Sequence[Scripted]) -> Answering:
    sent = iter(replies)
    lock = threading.Lock()

    def answer(_question: dict[str, Any]) -> Scripted:
        with lock:
            return next(sent, replies[-1])

    return answer


class _RealModel:
    """transformers' own generation: nothing of ours is between the model and the endpoint."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self._lock = threading.Lock()

    def __call__(self, question: dict[str, Any]) -> Scripted:
        messages = question["messages"]
        words = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
        with self._lock:
            inputs = self._tokenizer.apply_chat_template(messages, **words)
            made = self._model.generate(**inputs, max_new_tokens=question["max_tokens"], do_sample=False)
        prompt = inputs["input_ids"].shape[1]
        text = self._tokenizer.decode(made[0, prompt:], skip_special_tokens=True)
        return Scripted(text, usage=(prompt, made.shape[1] - prompt))


@contextmanager
def _served(answering: Answering, port: int) -> Iterator[ChatServer]:
    served = ChatServer()
    lock = threading.Lock()
    under_way: set[int] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # the head and the body are two packets, of which the second would wait 40 ms

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                served.questions.append(question | {"path": self.path})
                served.headers.append({name.lower(): value for name, value in self.headers.items()})
                served.at.append(time.monotonic())
                under_way.add(threading.get_ident())
                served.most_at_once = max(served.most_at_once, len(under_way))
            reply = answering(question)
            time.sleep(reply.seconds)
            with lock:
                under_way.discard(threading.get_ident())
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that did not wait for their answer."""

    server = Server(("127.0.0.1", port), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main(port: str, log: str, seconds: str) -> None:
    """Serve until killed."""

    def answer(question: dict[str, Any]) -> Scripted:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(json.dumps(question_text(question)) + "\n")
        return Scripted(f"answer to {question_text(question)}", usage=(10, 5), seconds=float(seconds))

    with fake_endpoint(answer, int(port)) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
