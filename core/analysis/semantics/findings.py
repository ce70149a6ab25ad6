"""The estimates of meaning beyond form."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from core.data.languages import LANGUAGE_NAMES
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import corrected_within
from core.stats.picking import of_layers, picked_layer
from core.stats.rate_matching import CALIPER
from core.stats.written import beside_frozen

_MATCHED = f"sets of features that fire on as many images (within a factor of {CALIPER:g}) and have no association"
_SHUFFLED = "deals of the genders to the images at random"
_WHERE = {
    "before": "words before the first gendered one",
    "after": "later words that tell no gender",
    "gendered": "the gendered words themselves",
}


def findings(tables: Mapping[str, pl.DataFrame], layers: int, top: int, counted: str) -> tuple[Estimate, ...]:
    """The estimates, each place at the layer whose features go most with gender on the selection split.

    Args:
        tables: design and sets.
        layers: how many were measured.
        top: features chosen.
        counted: images or items.
    """
    picked = corrected_within(_picked(tables["sets"], top), pl.col("top"))
    chosen, family = of_layers(layers, "gender"), number_of(picked.filter(top=top).height, "place")
    found: list[Estimate] = []
    for place in tables["design"].filter(pl.col("occurrences") > 0).iter_rows(named=True):
        rows = picked.filter(language=place["language"], place=place["place"])
        common = _common(place, counted)
        told = {row["top"]: _estimate(row, place, common) for row in rows.iter_rows(named=True)}
        if top not in told:
            found.append(_unmeasured(place, common))
            continue
        one, more = (replace(told[count], chosen=chosen, family=family) for count in (top, 2 * top))
        warning = () if one.verdict == more.verdict else (f"with {2 * top} features the verdict is {more.verdict!r}",)
        found.append(replace(one, caveats=(*warning, *one.caveats)))
    return tuple(found)


def _picked(sets: pl.DataFrame, top: int) -> pl.DataFrame:
    parts = [part.filter(layer=picked_layer(part.filter(top=top))) for part in sets.partition_by("language", "place")]
    return pl.concat([sets.clear(), *parts])


def _common(place: Mapping[str, Any], counted: str) -> dict[str, Any]:
    words = number_of(place["different_words"], "word")
    return {
        "name": f"meaning.{place['language']}.{place['place']}",
        "quantity": "how well gender features tell a woman's picture from a man's, the written word regressed out",
        "unit": "AUROC",
        "n": place["images"],
        "counted": f"test {counted}, {place['occurrences']:,} times one of {words}",
        "language": place["language"],
        "answers": True,
    }


def _estimate(row: Mapping[str, Any], place: Mapping[str, Any], common: Mapping[str, Any]) -> Estimate:
    column, draws = ("matched", "matched_sets") if row["matched_sets"] else ("shuffled", "draws")
    return Estimate(
        **common,
        value=row["auroc"],
        source=Source("sets", {name: row[name] for name in ("layer", "language", "place", "top")}, "auroc"),
        interval=(row["low"], row["high"]),
        control=Control.of(_MATCHED if row["matched_sets"] else _SHUFFLED, row, column, draws),
        null=0.5,
        p=row["p"],
        q=row["q"],
        draws=row["draws"],
        layer=row["layer"],
        condition=f"{_WHERE[place['place']]}; {number_of(row['features'], 'feature')}",
        caveats=_caveats(row),
    )


def _caveats(row: Mapping[str, Any]) -> tuple[str, ...]:
    below = "below ½: the features are more active beside the gender that they do not go with at its words"
    copied = "what was read in an earlier gendered word may be copied here"
    said = [copied] if row["place"] == "after" else []
    if row["beyond_frozen"] is not None:
        better = row["beyond_frozen_low"] > 0
        said.insert(len(said) if better else 0, beside_frozen(row))
    return (*([below] if row["high"] < 0.5 else []), *said, f"AUROC {row['plain']:.3f} with the word left in")


def _unmeasured(place: Mapping[str, Any], common: Mapping[str, Any]) -> Estimate:
    """No number where meaning cannot be told from form, and why."""
    fault = place["not_identifiable"]
    why = f"not identifiable: {fault}" if fault else "no gender feature fires there"
    return Estimate(
        **common,
        value=float("nan"),
        source=Source("design", {name: place[name] for name in ("language", "place")}, "inflation"),
        condition=f"{_WHERE[place['place']]}; {why}",
        described=True,
    )


def notes(tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """What was left out."""
    said = ["Words that occur once in the test captions of a language are left out: there is nothing to compare."]
    lost = tables["design"].filter((pl.col("not_identifiable") != "") & (pl.col("occurrences") > 0))
    if lost.height:
        names = [f"{_WHERE[row['place']]} ({LANGUAGE_NAMES[row['language']]})" for row in lost.iter_rows(named=True)]
        said.append(f"Meaning cannot be told from form, so nothing is estimated, on {'; '.join(names)}.")
    return tuple(said)
