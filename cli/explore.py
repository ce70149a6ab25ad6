"""`saeflow explore`: a study's features, samples and labels over HTTP, until Ctrl-C."""

import gc
import os
import secrets
from contextlib import suppress
from typing import Annotated

import typer

from cli.terminal import console
from flows.runtime.environment import LOOPBACK
from flows.runtime.settings import read_settings

PORT = 4300


def explore(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY…",
            help="Studies that have run, by name, title or key as `saeflow status` lists them; without any, all.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine a token is asked for.")
    ] = "127.0.0.1",
    layer: Annotated[
        int | None, typer.Option(min=0, help="Layer that is meant where an address names none, as /activations/42.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SAEFLOW_EXPLORER_TOKEN",
            help="Bearer token to ask for; made and printed where others reach the server and none is given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve the features of studies that have run: what fires where, how it goes with the concept, what people call it.

    [dim]saeflow explore
    saeflow explore demo --layer 17
    saeflow explore demo demo+sae.k=32 --port 0[/dim]

    Open the address that is printed in a browser. Programs ask the same server,
    in another shell:

      L=http://127.0.0.1:4300/studies/demo/layers/17
      curl "$L/features?sort=-association"
      curl "$L/activations/42?sort=-value"

    GET /openapi.json lists every address; docs/explorer.md shows their answers.
    """
    gc.disable()  # what is imported stays: no search for garbage, now or later
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # requests run side by side already: a third of the CPU time
    from explorer.dashboard.pages import add_pages
    from explorer.server.serving import Place, run, what_is_served  # FastAPI: other commands need not wait for it

    settings = read_settings()
    place = Place(host, port, LOOPBACK)
    served = what_is_served(settings.workspace, studies or (), layer)
    asked = token or (None if place.is_loopback else secrets.token_urlsafe(32))

    def announce(url: str) -> None:
        gc.freeze()
        gc.enable()
        console.print(f"[green]✓[/green] explorer {url}")
        if asked and not token:
            console.print(f"  token    {asked}", markup=False)
        console.print("Ctrl-C ends it.")

    with suppress(KeyboardInterrupt):  # uvicorn has ended in order, and passes the signal on
        run(served, place, asked, announce, add_pages)
