"""`saeflow feature`: one feature of a study's SAE, read off what its run left."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.progress import Progress

from cli import feature_label
from cli.feature_options import (
    ExamplesOption,
    FeatureArgument,
    ImagesOption,
    InterveneOption,
    LanguageOption,
    LayerOption,
    StudyOption,
    TopOption,
    WhereOption,
    look,
)
from cli.printed import HtmlOption, JsonOption, give, write
from cli.terminal import console, errors
from core.errors import BadInput
from core.progress import Progress as Told
from explorer.asking.answer import Answer
from explorer.asking.dossier import Asked, dossier
from explorer.asking.looks import (
    CELLS,
    all_features,
    decoded,
    heat_map,
    heat_map_by_intervention,
    one_feature,
    side_by_side,
    strongest,
    swept,
    swept_by_intervention,
)
from explorer.asking.varying import Plan, run_varied

app = typer.Typer(
    no_args_is_help=True,
    help="""Look at a feature: what it fires on, what it goes with, and which others are like it.

    [dim]saeflow feature overview 17 --layer 8  ·  saeflow feature sweep 17 --layer 8 --family profession[/dim]""",
)

app.add_typer(feature_label.app, name="label")


@app.command()
def overview(
    feature: Annotated[int | None, typer.Argument(min=0, metavar="[FEATURE]", help="Its number.")] = None,
    study: StudyOption = None,
    layer: LayerOption = None,
    every: Annotated[bool, typer.Option("--all", help="A line for each feature of the layer instead.")] = False,
    top_k: TopOption = 10,
    max_examples: ExamplesOption = 3,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """How often and how strongly it fires, on what, what of the concept it goes with, and its nearest features."""
    looked = look(study, layer)
    if every:
        answer = all_features(looked, top_k)
    elif feature is None:
        raise BadInput("say which feature, as in `saeflow feature overview 17`, or --all for a line of each")
    else:
        answer = one_feature(looked, feature, top_k, max_examples)
    give(answer, as_json, html)


@app.command()
def sweep(
    feature: FeatureArgument,
    family: Annotated[str | None, typer.Option(help="The attribute (default: each one's share alone).")] = None,
    study: StudyOption = None,
    layer: LayerOption = None,
    language: LanguageOption = None,
    where: WhereOption = None,
    intervene: InterveneOption = False,
    word: Annotated[str | None, typer.Option(help="With --intervene: vary this word of the captions instead.")] = None,
    with_: Annotated[list[str] | None, typer.Option("--with", help="What to put in its place; repeatable.")] = None,
    images: ImagesOption = 20,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Its mean activation by value of an attribute of the images, with 95 % intervals.

    Without --intervene this is observation: nothing is varied. With it, the attribute of each test image (or a word of
    its caption) is varied, everything else is fixed, and the model runs again.

    [dim]saeflow feature sweep 57 -l 8 --family mood --intervene
    saeflow feature sweep 57 -l 8 --intervene --word woman --with man --with person[/dim]
    """
    looked = look(study, layer)
    if not intervene:
        give(swept(looked, feature, family, language, where), as_json, html)
        return
    plan = Plan(*_asked(family, word, with_ or []), images, looked.language(language))
    with _progress() as progress:
        varied = run_varied(looked, feature, plan, progress)
    give(swept_by_intervention(looked, feature, varied), as_json, html)


def _asked(family: str | None, word: str | None, others: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The attribute, or the word and what is put in its place."""
    if (family is None) == (word is None) or (word is not None) != bool(others):
        raise BadInput("--intervene: name one attribute with --family, or a word with --word and another with --with")
    return ((family,), ()) if family is not None else ((), (str(word), *others))


@app.command()
def heatmap(
    feature: FeatureArgument,
    x: Annotated[str, typer.Option("--x", help="The attribute of the columns.", show_default=False)],
    y: Annotated[str, typer.Option("--y", help="The attribute of the rows.", show_default=False)],
    study: StudyOption = None,
    layer: LayerOption = None,
    language: LanguageOption = None,
    where: WhereOption = None,
    intervene: InterveneOption = False,
    images: ImagesOption = 20,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Its mean activation by two attributes at once, with the images of each cell.

    Without --intervene this is observation: nothing is varied. With it, both attributes of each test image are varied.
    """
    looked = look(study, layer)
    if intervene:
        with _progress() as progress:
            varied = run_varied(looked, feature, Plan((x, y), (), images, looked.language(language)), progress)
        answer = heat_map_by_intervention(looked, feature, varied)
    else:
        answer = heat_map(looked, feature, x, y, language, where)
    give(answer if as_json else _in_cells(answer, x, y), as_json, html)


def _in_cells(answer: Answer, x: str, y: str) -> Answer:
    """A row for each value of one attribute, a column for each of the other."""
    cell = pl.format("{} ({})", pl.col("mean").round_sig_figs(3), "images")
    table = answer.tables[CELLS].with_columns(cell.alias("cell")).pivot("x", index="y", values="cell")
    return replace(answer, tables={CELLS: table.rename({"y": f"{y} / {x}"}).fill_null("–")})


@app.command()
def top(
    feature: FeatureArgument,
    by: Annotated[str | None, typer.Option(help="The strongest of each value of this attribute.")] = None,
    study: StudyOption = None,
    layer: LayerOption = None,
    top_k: TopOption = 10,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """The images on which it fires most strongly, each with the token where it does."""
    give(strongest(look(study, layer), feature, by, top_k), as_json, html)


@app.command()
def decoder(
    feature: FeatureArgument,
    study: StudyOption = None,
    layer: LayerOption = None,
    top_k: TopOption = 10,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """The tokens that it promotes and suppresses by its direct path, and the nearest decoder rows."""
    give(decoded(look(study, layer), feature, top_k), as_json, html)


@app.command()
def compare(
    feature: FeatureArgument,
    other: Annotated[int, typer.Argument(min=0, metavar="OTHER", help="The other's number.", show_default=False)],
    study: StudyOption = None,
    layer: LayerOption = None,
    other_layer: Annotated[int | None, typer.Option(help="The other's layer (default: the same).")] = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Two features beside each other: how alike their directions are, and how often they fire together."""
    looked = look(study, layer)
    beside = looked if other_layer is None else look(study, other_layer)
    give(side_by_side(looked, feature, beside, other), as_json, html)


@app.command()
def investigate(
    feature: FeatureArgument,
    study: StudyOption = None,
    layer: LayerOption = None,
    language: LanguageOption = None,
    images: ImagesOption = 20,
    ablate: Annotated[bool, typer.Option(help="Take the feature out and see what it does to the word.")] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the dossier to this file.")] = None,
) -> None:
    """Ask everything of one feature, and write a dossier: hypotheses, evidence for and against, a proposed label.

    What fires it, the tokens it promotes, what it goes with, what changes it when scenes are varied, and what taking it
    out does to the concept's word. The model runs; minutes on two cores.

    [dim]saeflow feature investigate 57 --layer 8 --out feature-57.md[/dim]
    """
    looked = look(study, layer)
    if out is not None and not out.expanduser().absolute().parent.is_dir():
        raise BadInput(f"--out {out}: its folder does not exist")
    text = dossier(looked, feature, Asked(language, images, ablate), lambda what: errors.print(what, style="dim"))
    if out is None:
        console.print(text, markup=False)
    else:
        write(text, out, "--out")
        console.print(f"  {out}", markup=False)


@contextmanager
def _progress() -> Iterator[Told]:
    with Progress(console=errors, transient=True) as bar:
        task = bar.add_task("the model runs")
        yield lambda done, total, metrics=None: bar.update(task, completed=done, total=total)
