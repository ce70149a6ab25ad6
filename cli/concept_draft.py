"""`saeflow concept draft`: a chat model drafts sentences, and a person accepts each."""

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal import console, warn
from core.errors import BadInput
from flows.runtime.scans import CONCEPTS
from flows.runtime.settings import started_in

if TYPE_CHECKING:
    from core.chat.address import Line

KEY_VARIABLE = "SAEFLOW_ENDPOINT_KEY"
_ADDRESS = "the endpoint's address"


def draft(
    trait: Annotated[str, typer.Argument(help="A concept's YAML file, or its name.", show_default=False)],
    endpoint: Annotated[str, typer.Option(help="Address of an OpenAI-compatible chat endpoint, up to /v1.")],
    model: Annotated[str, typer.Option(help="The model's name there.")],
    scenes: Annotated[int, typer.Option(min=1, help="Scenes to draft, each of up to four sentences.")] = 10,
) -> None:
    """Draft sentences with a chat model; you accept each one, and it is appended to the concept's CSV at once.

    A key, if the endpoint wants one, is read from SAEFLOW_ENDPOINT_KEY.
    """
    from cli.drafting import Session
    from core.chat.sending import Sender
    from core.concepts.sentence_file import SentenceFile
    from core.planning.concept_file import CONCEPT_FILES, sentences_path

    path = CONCEPT_FILES.find(trait, [started_in(), CONCEPTS])
    concept = CONCEPT_FILES.load(path)
    file = SentenceFile.open(sentences_path(concept, path))
    key = os.environ.get(KEY_VARIABLE) or None
    line = drafting_line(endpoint, model, key)
    if key is not None and endpoint.startswith("http://") and not line.is_local:
        warn([f"{KEY_VARIABLE} is sent to {line.host} over http, which others on the way can read; use https"])
    if not sys.stdin.isatty():
        raise BadInput("concept draft: a person accepts each sentence; run it in a terminal")
    with Sender(line) as chat:
        session = Session(concept, file, chat, _typed)
        try:
            session.run(scenes)
        finally:
            console.print(f"\n  {session.tally.words}\n  {file.path}", markup=False)


def drafting_line(endpoint: str, model: str, key: str | None) -> "Line":
    """The model at the address that the options name.

    Raises:
        BadInput: the address or the key cannot be used.
    """
    from core.chat.address import Line, Words, host_of

    who = f"endpoint {host_of(endpoint, _ADDRESS)}"
    return Line(endpoint, model, Words(who, "--endpoint", "--model", f"set {KEY_VARIABLE}"), key)


def _typed(question: str) -> str:
    """The line that the person types."""
    signal.siginterrupt(signal.SIGINT, True)  # polars has Ctrl-C restart a read, which would then wait for a line
    return input(question)
