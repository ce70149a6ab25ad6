"""`saeflow feature`: one feature of a study's SAE, read off what its run left."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from cli import feature_explain, feature_label, feature_search
from cli.asked import Files
from cli.feature_options import (
    ExamplesOption,
    FeatureArgument,
    ImagesOption,
    InterveneOption,
    LanguageOption,
    LayerOption,
    ServerOption,
    StudyOption,
    TokenOption,
    TopOption,
    WhereOption,
    asked,
)
from cli.printed import HtmlOption, JsonOption, give, write
from cli.terminal import console, errors
from core.errors import BadInput
from explorer.asking.answer import Answer
from explorer.asking.dossier import Asked, dossier
from explorer.asking.looks import CELLS
from explorer.asking.questions import (
    LAST_FEATURE,
    LAST_LAYER,
    AllFeatures,
    Compare,
    Decoder,
    Heatmap,
    HeatmapByIntervention,
    Investigate,
    Overview,
    Question,
    Strongest,
    Sweep,
    SweepByIntervention,
)

app = typer.Typer(
    no_args_is_help=True,
    help="""Look at a feature: what it fires on, what it goes with, and which others are like it.

    [dim]saeflow feature overview 17 --layer 8
    saeflow feature sweep 17 --layer 8 --family profession
    saeflow feature search "a woman sings" --layer 8
    saeflow feature explain 17 --layer 8 --study demo
    saeflow feature top 17 --layer 8 --server http://127.0.0.1:4300[/dim]

    With --server the answers come from an explorer that runs (`saeflow
    explore`), with its study and layer by default.
    """,
)

app.add_typer(feature_label.app, name="label")


@app.command()
def overview(
    feature: Annotated[
        int | None, typer.Argument(min=0, max=LAST_FEATURE, metavar="[FEATURE]", help="Its number.")
    ] = None,
    study: StudyOption = None,
    layer: LayerOption = None,
    every: Annotated[bool, typer.Option("--all", help="A line for each feature of the layer instead.")] = False,
    top_k: TopOption = 10,
    max_examples: ExamplesOption = 3,
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """How often and how strongly it fires, on what, what of the concept it goes with, and its nearest features."""
    question: Question = AllFeatures(top_k=top_k)
    if not every:
        if feature is None:
            raise BadInput("say which feature, as in `saeflow feature overview 17`, or --all for a line of each")
        question = Overview(feature=feature, top_k=top_k, max_examples=max_examples)
    give(asked(server, token, study, layer).ask(question), as_json, html)


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
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Its mean activation by value of an attribute of the images, with 95 % intervals.

    Without --intervene this is observation: nothing is varied. With it, the
    attribute of each test image (or a word of its caption) is varied, everything
    else is fixed, and the model runs again.

    [dim]saeflow feature sweep 57 -l 8 --family mood --intervene
    saeflow feature sweep 57 -l 8 --intervene --word woman --with man --with person[/dim]
    """
    question: Question = Sweep(feature=feature, family=family, language=language, where=where)
    if intervene:
        others = tuple(with_ or ())
        question = SweepByIntervention(
            feature=feature, family=family, word=word, others=others, language=language, images=images
        )
    give(asked(server, token, study, layer).ask(question), as_json, html)


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
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Its mean activation by two attributes at once, with the images of each cell.

    Without --intervene this is observation: nothing is varied. With it, both
    attributes of each test image are varied.
    """
    question: Question = Heatmap(feature=feature, x=x, y=y, language=language, where=where)
    if intervene:
        question = HeatmapByIntervention(feature=feature, x=x, y=y, language=language, images=images)
    answer = asked(server, token, study, layer).ask(question)
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
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """The images on which it fires most strongly, each with the token where it does."""
    question = Strongest(feature=feature, by=by, top_k=top_k)
    give(asked(server, token, study, layer).ask(question), as_json, html)


@app.command()
def decoder(
    feature: FeatureArgument,
    study: StudyOption = None,
    layer: LayerOption = None,
    top_k: TopOption = 10,
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """The tokens that it promotes and suppresses by its direct path, and the nearest decoder rows."""
    question = Decoder(feature=feature, top_k=top_k)
    give(asked(server, token, study, layer).ask(question), as_json, html)


@app.command()
def compare(
    feature: FeatureArgument,
    other: Annotated[
        int, typer.Argument(min=0, max=LAST_FEATURE, metavar="OTHER", help="The other's number.", show_default=False)
    ],
    study: StudyOption = None,
    layer: LayerOption = None,
    other_layer: Annotated[
        int | None, typer.Option(min=0, max=LAST_LAYER, help="The other's layer (default: the same).")
    ] = None,
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Two features beside each other: how alike their directions are, and how often they fire together."""
    question = Compare(feature=feature, other=other, other_layer=other_layer)
    give(asked(server, token, study, layer).ask(question), as_json, html)


@app.command()
def investigate(
    feature: FeatureArgument,
    study: StudyOption = None,
    layer: LayerOption = None,
    language: LanguageOption = None,
    images: ImagesOption = 20,
    ablate: Annotated[bool, typer.Option(help="Take the feature out and see what it does to the word.")] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the dossier to this file.")] = None,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Ask everything of one feature, and write a dossier: hypotheses, evidence for and against, a proposed label.

    What fires it, the tokens it promotes, what it goes with, what changes it
    when scenes are varied, and what taking it out does to the concept's word.
    The model runs; minutes on two cores.

    [dim]saeflow feature investigate 57 --layer 8 --out feature-57.md[/dim]
    """
    if out is not None and not out.expanduser().absolute().parent.is_dir():
        raise BadInput(f"--out {out}: its folder does not exist")
    if server is None:
        wanted, looked = Asked(language, images, ablate), Files(study, layer).look()
        text = dossier(looked, feature, wanted, lambda what: errors.print(what, style="dim"))
    else:
        question = Investigate(feature=feature, language=language, images=images, ablate=ablate)
        (text,) = asked(server, token, study, layer).ask(question).lines
    if out is None:
        console.print(text, markup=False)
    else:
        write(text, out, "--out")
        console.print(f"  {out}", markup=False)


app.command()(feature_search.search)
app.command()(feature_explain.explain)
