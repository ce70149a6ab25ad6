"""The estimates of form and referent, and what of them can be said."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from core.analysis.morphology.words import WRITTEN
from core.data.arabic_surface import ENDINGS, PRONOUNS
from core.data.gender_strata import GENERIC
from core.features.inputs import AnalysisInputs
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import ALPHA, corrected_within
from core.stats.picking import of_layers, picked_layer
from core.stats.rate_matching import CALIPER
from core.stats.reach import out_of_reach
from core.stats.written import beside_frozen

_MATCHED = f"sets of features that fire as often (within a factor of {CALIPER:g}) and have no association"
_SHUFFLED = {
    "form": "deals of the forms to the words at random",
    "referent": "deals of the persons to the images at random",
    "generic": "deals of men and generic masculine to the images at random",
}
_SORTS = {
    "person": "words that tell the person's gender",
    "owned": "owned things",
    "other": "nouns and adjectives of nobody",
    "generic": "masculine words of the person that occur in both",
}
_AGAINST = {str(suffix): f", {suffix} against no feminine ending" for suffix in ENDINGS}
_AGAINST |= {suffix: f", {suffix} against {suffix.removesuffix('ا')}" for suffix in PRONOUNS}
_EFFECTS = {
    "form": "what the feminine form adds to gender features, the person's gender held fixed",
    "referent": "what a female person adds to gender features, the form held fixed",
    "generic": "what a man adds to gender features beside the generic masculine, the word's form held fixed",
}


def follow(features: pl.DataFrame) -> pl.DataFrame:
    """The features with `form_q` and `referent_q`, corrected over both, all layers, words and features, and what each
    follows: form, referent, both or neither.

    A feature follows what passes its test and keeps its sign whichever word is left out.
    """
    keys = ["layer", "words", "suffix", "feature"]
    tests = pl.concat(
        [
            features.select(*keys, pl.lit(name).alias("effect"), pl.col(f"{name}_p").fill_nan(None).alias("p"))
            for name in ("form", "referent")
        ]
    )
    told = corrected_within(tests, pl.lit("all"))
    for name in ("form", "referent"):
        own = told.filter(effect=name).select(*keys, pl.col("q").alias(f"{name}_q"))
        features = features.join(own, on=keys, how="left", maintain_order="left")
    is_form, is_referent = (_follows(name) for name in ("form", "referent"))
    what = (
        pl.when(is_form & is_referent)
        .then(pl.lit("both"))
        .when(is_form)
        .then(pl.lit("form"))
        .when(is_referent)
        .then(pl.lit("referent"))
        .otherwise(pl.lit("neither"))
    )
    return features.with_columns(what.alias("follows"))


def _follows(name: str) -> pl.Expr:
    steady = (pl.col(f"{name}_least") > 0) | (pl.col(f"{name}_most") < 0)
    return (pl.col(f"{name}_q") <= ALPHA).fill_null(False) & steady


def findings(tables: Mapping[str, pl.DataFrame], layers: int, top: int, counted: str) -> tuple[Estimate, ...]:
    """The estimates, each sort of words at the layer whose features go most with gender on the selection split.

    Args:
        tables: design and sets.
        layers: how many were measured.
        top: features chosen.
        counted: images or items.
    """
    told = (pl.col("suffix") == "") | (pl.col("effect") == "form")  # of a suffix no finding speaks of the referent
    picked = corrected_within(_picked(tables["sets"], top).filter(told), pl.col("top"))
    tests = picked.filter(pl.col("p").is_not_null(), top=top).height
    found: list[Estimate] = []
    used = tables["design"].filter(pl.col("occurrences") > 0)
    for stratum in (*used.iter_rows(named=True), *tables["generic"].iter_rows(named=True)):
        for effect in _effects_of(stratum):
            about = _About(stratum, effect, of_layers(layers, "gender"), tests, counted)
            rows = picked.filter(words=stratum["words"], suffix=stratum["suffix"], effect=effect)
            by_top = {row["top"]: about.estimate(row) for row in rows.iter_rows(named=True)}
            if top in by_top:
                found.append(_beside_more(by_top[top], by_top.get(2 * top)))
            elif not stratum["suffix"]:  # of suffixes the table, the figure and a note say it
                found.append(about.unmeasured())
    return tuple(found)


def _effects_of(stratum: Mapping[str, Any]) -> tuple[str, ...]:
    if stratum["words"] == "generic":
        return ("generic",)
    return ("form",) if stratum["suffix"] else ("form", "referent")


def _picked(sets: pl.DataFrame, top: int) -> pl.DataFrame:
    """The rows of each stratum's layer."""
    keys = ["words", "suffix"]
    parts = [part.filter(layer=picked_layer(part.filter(top=top))) for part in sets.partition_by(keys)]
    return pl.concat([sets.clear(), *parts])


@dataclass(frozen=True)
class _About:
    """One effect of one stratum, as its estimates speak of it."""

    stratum: Mapping[str, Any]
    effect: str
    chosen: str
    tests: int
    counted: str

    def estimate(self, row: Mapping[str, Any]) -> Estimate:
        """The estimate of a row of `sets`."""
        is_matched = row["matched_sets"] > 0
        column, draws = ("matched", "matched_sets") if is_matched else ("shuffled", "draws")
        return Estimate(
            **self._common(),
            value=row["value"],
            source=Source("sets", {name: row[name] for name in ("layer", "words", "suffix", "effect", "top")}, "value"),
            interval=(row["low"], row["high"]),
            control=Control.of(_MATCHED if is_matched else _SHUFFLED[self.effect], row, column, draws),
            p=row["p"],
            q=row["q"],
            family=number_of(self.tests, "effect"),
            draws=row["draws"],
            layer=row["layer"],
            chosen=self.chosen,
            condition=f"{_where(self.stratum)}; {number_of(row['features'], 'feature')}",
            caveats=(*self._too_few(row), *_caveats(row)),
        )

    def _too_few(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """That the draws are too few for the family, where they are."""
        least = min(filter(None, (row["draws"], row["matched_sets"])), default=0)
        return out_of_reach(1 / (1 + least), self.tests)

    def unmeasured(self) -> Estimate:
        """No number where form and referent cannot be told apart, and why."""
        fault = self.stratum["not_identifiable"]
        why = f"not identifiable: {fault}" if fault else "none of the gender features fires there"
        key = {name: self.stratum[name] for name in ("words", "suffix")}
        table, column = ("generic", "generic") if self.effect == "generic" else ("design", "inflation")
        return Estimate(
            **self._common(),
            value=float("nan"),
            source=Source(table, key, column),
            condition=f"{_where(self.stratum)}; {why}",
            described=True,
        )

    def _common(self) -> dict[str, Any]:
        words = number_of(self.stratum["different_words"], "word")
        return {
            "name": _name(self.stratum, self.effect),
            "quantity": _EFFECTS[self.effect],
            "unit": "standard deviations",
            "n": self.stratum["units"],
            "counted": f"test {self.counted} with their twins, {self.stratum['occurrences']:,} times one of {words}",
            "language": "ar",
            "answers": not self.stratum["suffix"] and self.effect != "generic",
        }


def _name(stratum: Mapping[str, Any], effect: str) -> str:
    if effect == "generic":
        return effect
    suffix = WRITTEN.get(stratum["suffix"], "")
    return ".".join(filter(None, (effect, stratum["words"], suffix)))


def _where(stratum: Mapping[str, Any]) -> str:
    return f"{_SORTS[stratum['words']]}{_AGAINST.get(stratum['suffix'], '')}"


def _caveats(row: Mapping[str, Any]) -> tuple[str, ...]:
    said = []
    if row["least"] is not None and row["least"] <= 0 <= row["most"]:
        said.append("without one of the words the effect has the other sign or none")
    if row["beyond_frozen"] is not None:
        said.append(beside_frozen(row, places=2))
    return tuple(said)


def _beside_more(one: Estimate, more: Estimate | None) -> Estimate:
    """The estimate, with a warning where twice as many features say otherwise."""
    if more is None or more.verdict == one.verdict:
        return one
    warning = f"with {more.source.key['top']} features the verdict is {more.verdict!r}"
    return replace(one, caveats=(warning, *one.caveats))


def notes(inputs: AnalysisInputs, tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """What was left out."""
    by = "English" if "en" in inputs.languages else "Arabic"
    lost = tables["design"].filter((pl.col("not_identifiable") != "") & (pl.col("occurrences") > 0))
    said = [
        f"The person's gender is read off the {by} captions; images on which it is not told, or whose Arabic captions "
        "speak of both genders, are left out.",
        "Words in اء, ى and ا are left out: either gender has these endings. So are pronouns and demonstratives.",
    ]
    generic = tables["strata"].filter(stratum=GENERIC)["samples"].sum()
    if generic:
        said.append(
            f"{generic:,} samples are in the generic masculine (English tells no gender, Arabic speaks of a man): "
            "expected, no error, and a class of its own; they count as neither gender here."
        )
    if lost.height:
        names = [_where(row) for row in lost.iter_rows(named=True)]
        said.append(f"Form and referent cannot be told apart, so nothing is estimated, for: {'; '.join(names)}.")
    return tuple(said)
