"""The options that commands on features share, and who they ask."""

from typing import Annotated

import typer

from cli.asked import Asked, Files
from explorer.asking.questions import LAST_FEATURE, MOST_EXAMPLES, MOST_IMAGES, MOST_ROWS

FeatureArgument = Annotated[
    int, typer.Argument(min=0, max=LAST_FEATURE, metavar="FEATURE", help="Its number.", show_default=False)
]
StudyOption = Annotated[
    str | None, typer.Option("--study", "-s", help="A study or variant (default: the one that ran last).")
]
LayerOption = Annotated[int | None, typer.Option("--layer", "-l", help="The layer (default: the study's only one).")]
LanguageOption = Annotated[str | None, typer.Option(help="Of the captions (default: the study's first).")]
WhereOption = Annotated[
    str | None, typer.Option(help="Rows of one position set, such as image or last-prompt (default: all).")
]
TopOption = Annotated[int, typer.Option("--top-k", min=1, max=MOST_ROWS, help="Rows of a table.")]
ExamplesOption = Annotated[
    int, typer.Option("--max-examples", min=1, max=MOST_EXAMPLES, help="Examples of each strength.")
]
InterveneOption = Annotated[bool, typer.Option("--intervene", help="Vary the inputs and run the model again.")]
ImagesOption = Annotated[
    int, typer.Option(min=2, max=MOST_IMAGES, help="With --intervene: test images, one of each pair of twins.")
]

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Ask the explorer that runs there, as http://127.0.0.1:4300, instead of the workspace's files.",
        show_default=False,
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="SAEFLOW_EXPLORER_TOKEN", help="With --server: the token it asks for.", show_default=False
    ),
]


def asked(server: str | None, token: str | None, study: str | None, layer: int | None = None) -> Asked:
    """Who is asked about a layer: a running explorer if one is named, else the workspace's files.

    Raises:
        BadInput: no explorer answers there.
    """
    if server is None:
        return Files(study, layer)
    from cli.asked_explorer import Explorer  # FastAPI, httpx: other commands need not wait for them

    return Explorer(server, token, study, layer)
