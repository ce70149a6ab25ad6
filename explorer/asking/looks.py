"""One feature, or all of a layer, read off what a study's run left: answers without a model."""

import polars as pl

from explorer.asking.answer import Answer
from explorer.asking.explained import said
from explorer.asking.looked import Looked
from explorer.asking.sentences import explained
from explorer.asking.varying import EFFECT, Varied, judge, varied_heat
from explorer.reading import feature_table
from explorer.reading.positions import positions

OBSERVED = "Observed, not intervened: nothing was varied, so that what goes with the attribute may be the cause."
_EXAMPLE = ("quantile", "value", "image_id", "language", "segment", "token")
CELLS = "mean (images)"
_ASSOCIATION = ("auroc", "q", "language", "position_set")
_STATISTICS = ("layer", "feature", "count", "density", "mean", "max")


def all_features(looked: Looked, top_k: int) -> Answer:
    """A line for each of `top_k` features of the layer, those first that go most with the concept."""
    strongest = looked.view.ranking.strongest()
    table = looked.view.index.features.select("feature", "count", "density", "mean", "max")
    place = pl.DataFrame({"feature": strongest}, schema={"feature": pl.UInt32}).with_row_index("rank", offset=1)
    joined = table.join(place, on="feature", how="left").sort("rank", "feature", nulls_last=True)
    tested = feature_table.strongest(looked.view.ranking.associations).select("feature", *_ASSOCIATION)
    name = looked.view.concept.name
    count = f"{min(top_k, joined.height)} of {joined.height:,}"
    lines = (
        f"{count}, those first that go most with {name} on the selection split",
        "auroc and q: of the language and rows where it goes most with it; null where it fires on too few images",
    )
    shown = joined.join(tested, on="feature", how="left", maintain_order="left")
    return Answer(looked.title(), lines, {"features": shown.head(top_k)})


def one_feature(looked: Looked, feature: int, top_k: int, max_examples: int) -> Answer:
    """How often and how strongly a feature fires, on what, what catalogues say of it, what of the concept it goes with,
    and its nearest features.

    Raises:
        BadInput: there is no such feature.
    """
    own = looked.view.feature(feature)
    known = own.statistics
    lines = [f"active in {known['count']:,} of {looked.view.index.num_rows:,} rows ({100 * known['density']:.2g} %)"]
    associations = looked.view.ranking.associations.filter(feature=feature)
    if associations.is_empty():
        lines.append(f"It fires on too few images to be tested for {looked.view.concept.name}.")
    found = own.examples(contexts=max_examples)
    context = pl.col("context").list.eval(pl.element().struct.field("token")).list.join(" ")
    tables = {
        "where it fires": positions(looked.study, looked.view.layer, own).drop("feature").head(top_k),
        "examples": found.select(*_EXAMPLE, context.alias("around")),
        "nearest decoder rows": own.neighbours.drop("feature").head(top_k),
        "fires with": own.coactivation.drop("feature").head(top_k),
    }
    if not associations.is_empty():
        shown = associations.select("language", "position_set", "auroc", "q", "support")
        tables[f"{looked.view.concept.name}, selection split (q within a language and position set)"] = shown
    told, explanations = said(looked, feature)
    return Answer(looked.title(feature), (*lines, *told), {**explanations, **tables})


def decoded(looked: Looked, feature: int, top_k: int) -> Answer:
    """The tokens that a feature promotes and suppresses by its direct path, and the nearest decoder rows.

    Raises:
        BadInput: there is no such feature, or no step wrote these tokens and the study's model is not on this machine.
    """
    own = looked.view.feature(feature)
    tokens = promoted(looked, feature, top_k)
    ways = {way: tokens.filter(direction=way).select("rank", "token", "score") for way in ("promoted", "suppressed")}
    lines = ("Decoder row, final norm and unembedding: the direct path alone, not what later layers make of it.",)
    nearest = own.neighbours.drop("feature").head(top_k)
    return Answer(looked.title(feature), lines, {**ways, "nearest decoder rows": nearest})


def promoted(looked: Looked, feature: int, most: int) -> pl.DataFrame:
    """`most` of the tokens that a feature promotes and suppresses: the columns of `core.features.influence.PROMOTED`.

    Raises:
        BadInput: no step has written them, and the study's model is not on this machine.
    """
    written = looked.study.influences(looked.view.layer, feature)
    if written is not None:
        return written.filter(pl.col("rank") <= most)
    from core.features.influence import promoted_tokens
    from explorer.reading.study_model import opened_model

    with opened_model(looked.study, looked.view.layer) as loaded:
        return promoted_tokens(looked.view.sae, loaded, [feature], most)


def swept(looked: Looked, feature: int, family: str | None, language: str | None, where: str | None) -> Answer:
    """A feature's mean activation by value of an attribute, and how much each attribute explains; observational.

    Raises:
        BadInput: there is no such feature, attribute, language or position set.
    """
    from core.features.breakdown import spreads, sweep

    means, words = looked.means(feature, language, where)
    table = spreads(means, looked.study.samples)
    tables = {} if family is None else {f"by {family}": sweep(means, looked.study.samples, family)}
    tables["share of the variance over images, beside shuffled values"] = table
    return Answer(looked.title(feature), (words, explained(table, family), OBSERVED), tables)


def swept_by_intervention(looked: Looked, feature: int, varied: Varied) -> Answer:
    """What each value that was put in does to a feature."""
    (found,) = judge({"it": varied}).values()
    lines = (varied.words, f"{found.words[0].upper()}{found.words[1:]}.", EFFECT)
    return Answer(looked.title(feature), lines, {"effects": found.effects})


def heat_map(looked: Looked, feature: int, x: str, y: str, language: str | None, where: str | None) -> Answer:
    """A feature's mean activation by two attributes at once; observational.

    Raises:
        BadInput: there is no such feature, attribute, language or position set.
    """
    from core.features.breakdown import heat

    means, words = looked.means(feature, language, where)
    return Answer(looked.title(feature), (words, OBSERVED), {CELLS: heat(means, looked.study.samples, x, y)})


def heat_map_by_intervention(looked: Looked, feature: int, varied: Varied) -> Answer:
    """A feature's mean activation where two attributes were varied together."""
    return Answer(looked.title(feature), (varied.words,), {CELLS: varied_heat(varied)})


def strongest(looked: Looked, feature: int, by: str | None, top_k: int) -> Answer:
    """The images on which a feature fires most strongly, of each value of the attribute `by` if one is named.

    Raises:
        BadInput: there is no such feature or attribute.
    """
    from core.features.breakdown import strongest_rows

    table = strongest_rows(looked.view.feature(feature).activations, looked.study.samples, by, top_k)
    lines = () if table.height else ("It fires on no image.",)
    return Answer(looked.title(feature), lines, {f"strongest{f' by {by}' if by else ''}": table})


def side_by_side(looked: Looked, feature: int, beside: Looked, other: int) -> Answer:
    """Two features: how alike their directions are, and how often they fire together.

    Raises:
        BadInput: one of them is not there, or their layers' rows are not the same.
    """
    from core.features.pair import together

    found = together(looked.view, feature, beside.view, other)
    lines = (
        f"cosine of the decoder rows {found.cosine:.3f}; correlation of the activations {found.correlation:.3f}",
        f"both fire in {found.both:,} rows, one or both in {found.either:,} (Jaccard {found.jaccard:.3g})",
    )
    sides = ((looked, feature), (beside, other))
    known = [{"layer": one.view.layer, **one.view.feature(number).statistics} for one, number in sides]
    table = pl.DataFrame([{name: row[name] for name in _STATISTICS} for row in known])
    return Answer(f"{looked.title(feature)}  beside  {beside.title(other)}", lines, {"statistics": table})
