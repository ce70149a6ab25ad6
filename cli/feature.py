"""`saeflow feature`: one feature of a study's SAE, read off what its run left."""

from typing import Annotated

import polars as pl
import typer

from cli.answer import Answer
from cli.intervene import EFFECT, judge, varied_heat
from cli.investigate import investigate
from cli.looked import (
    ExamplesOption,
    FeatureArgument,
    HtmlOption,
    ImagesOption,
    InterveneOption,
    JsonOption,
    LanguageOption,
    LayerOption,
    Looked,
    StudyOption,
    TopOption,
    WhereOption,
)
from core.errors import BadInput

OBSERVED = "Observed, not intervened: nothing was varied, so that what goes with the attribute may be the cause."
_EXAMPLE = ("quantile", "value", "image_id", "language", "segment", "token")
app = typer.Typer(
    no_args_is_help=True,
    help="""Look at a feature: what it fires on, what it goes with, and which others are like it.

    [dim]saeflow feature overview 17 --layer 8  ·  saeflow feature sweep 17 --layer 8 --family profession[/dim]""",
)


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
    looked = Looked.at(study, layer)
    if every:
        _all_features(looked, top_k).give(as_json, html)
    elif feature is None:
        raise BadInput("say which feature, as in `saeflow feature overview 17`, or --all for a line of each")
    else:
        _one_feature(looked, feature, top_k, max_examples).give(as_json, html)


def _all_features(looked: Looked, top_k: int) -> Answer:
    strongest = looked.view.ranking.strongest()
    table = looked.view.index.features.select("feature", "count", "density", "mean", "max")
    place = pl.DataFrame({"feature": strongest}, schema={"feature": pl.UInt32}).with_row_index("rank", offset=1)
    joined = table.join(place, on="feature", how="left").sort("rank", "feature", nulls_last=True)
    name = looked.view.concept.name
    lines = (f"Those first that go most with {name} on the selection split; --top-k for more than {top_k}.",)
    return Answer(looked.title(), lines, {"features": joined.head(top_k)})


def _one_feature(looked: Looked, feature: int, top_k: int, max_examples: int) -> Answer:
    own = looked.view.feature(feature)
    known = own.statistics
    lines = [f"active in {known['count']:,} of {looked.view.index.num_rows:,} rows ({100 * known['density']:.2g} %)"]
    associations = looked.view.ranking.associations.filter(feature=feature)
    if associations.is_empty():
        lines.append(f"It fires on too few images to be tested for {looked.view.concept.name}.")
    found = own.examples(contexts=max_examples)
    context = pl.col("context").list.eval(pl.element().struct.field("token")).list.join(" ")
    tables = {
        "where it fires": own.positions.drop("feature").head(top_k),
        "examples": found.select(
            "quantile", "value", "image_id", "language", "segment", "token", context.alias("around")
        ),
        "nearest decoder rows": own.neighbours.drop("feature").head(top_k),
        "fires with": own.coactivation.drop("feature").head(top_k),
    }
    if not associations.is_empty():
        shown = associations.select("language", "position_set", "auroc", "q", "support")
        tables[f"{looked.view.concept.name}, selection split (q within a language and position set)"] = shown
    return Answer(looked.title(feature), tuple(lines), tables)


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
    looked = Looked.at(study, layer)
    if intervene:
        varied = looked.varied(feature, *_asked(family, word, with_ or []), images, language)
        (found,) = judge({"it": varied}).values()
        lines = (varied.words, f"{found.words[0].upper()}{found.words[1:]}.", EFFECT)
        Answer(looked.title(feature), lines, {"effects": found.effects}).give(as_json, html)
        return
    from core.features.breakdown import spreads
    from core.features.breakdown import sweep as swept

    means, words = looked.means(feature, language, where)
    table = spreads(means, looked.study.samples)
    tables = {} if family is None else {f"by {family}": swept(means, looked.study.samples, family)}
    lines = (words, _share(table, family), OBSERVED)
    tables["share of the variance over images, beside shuffled values"] = table
    Answer(looked.title(feature), lines, tables).give(as_json, html)


def _asked(family: str | None, word: str | None, others: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The attribute, or the word and what is put in its place."""
    if (family is None) == (word is None) or (word is not None) != bool(others):
        raise BadInput("--intervene: name one attribute with --family, or a word with --word and another with --with")
    return ((family,), ()) if family is not None else ((), (str(word), *others))


def _share(table: pl.DataFrame, family: str | None) -> str:
    """What may be said of the attribute asked for, or of the one that explains most."""
    row = table.filter(attribute=family) if family else table.head(1)
    if row.is_empty():
        return (
            "No attribute can be compared: the feature is the same on all images, or each image is a kind of its own."
        )
    one = row.row(0, named=True)
    share = f"{100 * one['share']:.3g} % of the variance over {one['images']:,} images, {one['units']:,} units"
    control = f"shuffled {100 * one['control_low']:.2g} to {100 * one['control_high']:.2g} %, q = {one['q']:.2g}"
    if one["q"] > 0.05:
        return f"{one['attribute']} explains no more than shuffled values do ({share}; {control})."
    return f"{one['attribute']} explains {share} ({control})."


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
    looked = Looked.at(study, layer)
    if intervene:
        varied = looked.varied(feature, (x, y), (), images, language)
        table, lines = varied_heat(varied), [varied.words]
    else:
        from core.features.breakdown import heat

        means, words = looked.means(feature, language, where)
        table, lines = heat(means, looked.study.samples, x, y), [words, OBSERVED]
    cell = pl.format("{} ({})", pl.col("mean").round_sig_figs(3), "images")
    wide = table.with_columns(cell.alias("cell")).pivot("x", index="y", values="cell").rename({"y": f"{y} / {x}"})
    tables = {"mean (images)": table if as_json else wide.fill_null("–")}
    Answer(looked.title(feature), tuple(lines), tables).give(as_json, html)


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
    from core.features.breakdown import strongest_rows

    looked = Looked.at(study, layer)
    table = strongest_rows(looked.view.feature(feature).activations, looked.study.samples, by, top_k)
    lines = () if table.height else ("It fires on no image.",)
    Answer(looked.title(feature), lines, {f"strongest{f' by {by}' if by else ''}": table}).give(as_json, html)


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
    from core.features.pair import together

    looked = Looked.at(study, layer)
    beside = looked if other_layer is None else Looked.at(study, other_layer)
    found = together(looked.view, feature, beside.view, other)
    lines = (
        f"cosine of the decoder rows {found.cosine:.3f}; correlation of the activations {found.correlation:.3f}",
        f"both fire in {found.both:,} rows, one or both in {found.either:,} (Jaccard {found.jaccard:.3g})",
    )
    sides = ((looked, feature), (beside, other))
    known = [{"layer": one.view.layer, **one.view.feature(number).statistics} for one, number in sides]
    columns = ["layer", "feature", "count", "density", "mean", "max"]
    table = pl.DataFrame([{name: row[name] for name in columns} for row in known])
    title = f"{looked.title(feature)}  beside  {beside.title(other)}"
    Answer(title, lines, {"statistics": table}).give(as_json, html)


app.command()(investigate)
