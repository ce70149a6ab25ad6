"""`saeflow feature label`: what people call features, with history."""

from pathlib import Path
from typing import Annotated

import typer

from cli.feature_options import FeatureArgument, LayerOption, StudyOption, look
from cli.printed import HtmlOption, JsonOption, give, write
from cli.terminal import console
from core.reading.records import open_by_name
from explorer.asking.labelling import exported, imported, labels_of, listed, set_label, shown
from explorer.asking.looked import the_latest
from flows.runtime.settings import read_settings

AuthorOption = Annotated[str | None, typer.Option(help="Who says so (default: the user of this machine).")]
app = typer.Typer(
    no_args_is_help=True,
    help="""What people call features. A label belongs to one SAE: one that is trained again has none.

    [dim]saeflow feature label set 57 "women" --layer 8  ·  saeflow feature label export labels.json[/dim]""",
)


@app.command()
def show(
    feature: FeatureArgument,
    study: StudyOption = None,
    layer: LayerOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """A feature's label, and every change of it."""
    looked = look(study, layer)
    give(shown(labels_of(looked.study.workspace), looked, feature), as_json, html)


@app.command(name="set")
def set_(
    feature: FeatureArgument,
    text: Annotated[str, typer.Argument(help='The label; "" removes it.', show_default=False)],
    study: StudyOption = None,
    layer: LayerOption = None,
    author: AuthorOption = None,
) -> None:
    """Set a feature's label; what it was stays in its history."""
    looked = look(study, layer)
    change = set_label(labels_of(looked.study.workspace), looked, feature, text or None, author)
    console.print(f"  {looked.title(feature)}: {change.text or 'no label'}", markup=False)


@app.command(name="list")
def list_(
    study: StudyOption = None, layer: LayerOption = None, as_json: JsonOption = False, html: HtmlOption = None
) -> None:
    """The labels of a layer's features."""
    looked = look(study, layer)
    give(listed(labels_of(looked.study.workspace), looked), as_json, html)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to.", show_default=False)], study: StudyOption = None
) -> None:
    """Write all labels of a study's model, with their history, into one JSON file."""
    workspace = read_settings().workspace
    opened = open_by_name(workspace, study or the_latest(workspace))
    write(exported(labels_of(workspace), opened), file, "FILE")
    console.print(f"  {file}", markup=False)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote.", show_default=False)],
) -> None:
    """Add the labels of such a file that are not here yet, all or none; a newer label stays."""
    there, new = imported(labels_of(read_settings().workspace), file)
    console.print(f"  {there} changes of labels in {file.name}, {new} of them new here", markup=False)
