"""The options that commands on features share, and the layer that they name."""

from typing import Annotated

import typer

from explorer.asking.looked import Looked
from flows.runtime.settings import read_settings

FeatureArgument = Annotated[int, typer.Argument(min=0, metavar="FEATURE", help="Its number.", show_default=False)]
StudyOption = Annotated[
    str | None, typer.Option("--study", "-s", help="A study or variant (default: the one that ran last).")
]
LayerOption = Annotated[int | None, typer.Option("--layer", "-l", help="The layer (default: the study's only one).")]
LanguageOption = Annotated[str | None, typer.Option(help="Of the captions (default: the study's first).")]
WhereOption = Annotated[
    str | None, typer.Option(help="Rows of one position set, such as image or last-prompt (default: all).")
]
TopOption = Annotated[int, typer.Option("--top-k", min=1, help="Rows of a table.")]
ExamplesOption = Annotated[int, typer.Option("--max-examples", min=1, help="Examples of each strength.")]
InterveneOption = Annotated[bool, typer.Option("--intervene", help="Vary the inputs and run the model again.")]
ImagesOption = Annotated[int, typer.Option(min=2, help="With --intervene: test images, one of each pair of twins.")]


def look(study: str | None, layer: int | None) -> Looked:
    """Open the layer that is meant, in the workspace that is set.

    Raises:
        BadInput: there is none, or it has to be named.
    """
    return Looked.at(read_settings().workspace, study, layer)
