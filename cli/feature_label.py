"""`saeflow feature label`: what people call features, with history."""

from pathlib import Path
from typing import Annotated

import typer

from cli.feature_options import FeatureArgument, LayerOption, ServerOption, StudyOption, TokenOption, asked
from cli.printed import HtmlOption, JsonOption, give, write
from cli.terminal import console
from explorer.asking.questions import LabelShown, LabelsListed

AuthorOption = Annotated[str | None, typer.Option(help="Who says so (default: the user of this machine).")]
app = typer.Typer(
    no_args_is_help=True,
    help="""What people call features. A label belongs to one SAE: one that is trained again has none.

    [dim]saeflow feature label set 57 "women" --layer 8
    saeflow feature label export labels.json[/dim]

    With --server they are an explorer's; who says so is still the user of this
    machine, unless --author names another.
    """,
)


@app.command()
def show(
    feature: FeatureArgument,
    study: StudyOption = None,
    layer: LayerOption = None,
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """A feature's label, and every change of it."""
    give(asked(server, token, study, layer).ask(LabelShown(feature=feature)), as_json, html)


@app.command(name="set")
def set_(
    feature: FeatureArgument,
    text: Annotated[str, typer.Argument(help='The label; "" removes it.', show_default=False)],
    study: StudyOption = None,
    layer: LayerOption = None,
    author: AuthorOption = None,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Set a feature's label; what it was stays in its history."""
    title, label = asked(server, token, study, layer).label(feature, text, author)
    console.print(f"  {title}: {label or 'no label'}", markup=False)


@app.command(name="list")
def list_(
    study: StudyOption = None,
    layer: LayerOption = None,
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """The labels of a layer's features."""
    give(asked(server, token, study, layer).ask(LabelsListed()), as_json, html)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to.", show_default=False)],
    study: StudyOption = None,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Write all labels of a study's model, with their history, into one JSON file."""
    write(asked(server, token, study).exported(), file, "FILE")
    console.print(f"  {file}", markup=False)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote.", show_default=False)],
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Add the labels of such a file that are not here yet, all or none; a newer label stays."""
    there, new = asked(server, token, None).imported(file)
    console.print(f"  {there} changes of labels in {file.name}, {new} of them new here", markup=False)
