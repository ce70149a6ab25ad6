"""`saeflow notify`: word by e-mail or chat when a study starts, ends, fails, or a stage is done."""

from typing import Annotated

import typer

from cli.terminal import console
from core.errors import BadInput
from flows.runtime.environment import work_in
from flows.runtime.settings import read_settings


def notify(
    address: Annotated[
        str | None, typer.Argument(help="Where word is sent: an Apprise address.", show_default=False)
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Send no word any more.")] = False,
) -> None:
    """Send word at milestones: a study started, a stage done, something failed, a study finished. Off by default.

    The address is kept, encrypted, by the Prefect server: that of `saeflow
    serve`, or what PREFECT_API_URL names.

    [dim]saeflow notify 'mailtos://me:password@smtp.example.org?to=me@example.org'
    saeflow notify --off[/dim]
    """
    from cli.servers import adopt, served_api

    if (address is None) == (not off):
        raise BadInput("give an address, or --off: saeflow notify 'mailtos://USER:PASSWORD@HOST?to=YOU@HOST'")
    settings = read_settings()
    api = served_api(settings)
    if api is None:
        raise BadInput("no Prefect server runs that could keep the notices: saeflow serve, then this again")
    adopt(settings, api)
    work_in(settings.workspace.root / "prefect")
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.notices import switch_off, switch_on

    with temporary_settings({PREFECT_API_URL: api}):
        if address is None:
            console.print(f"{switch_off()} notices are taken away")
            return
        for name in switch_on(address):
            console.print(f"[green]✓[/green] {name}", highlight=False)
