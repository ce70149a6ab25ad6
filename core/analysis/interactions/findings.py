"""The interactions' estimates: by language the mean over all pairs, and the pair of the two highest-ranked features."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from core.causal.resampling import dependence
from core.data.concept import Concept
from core.features.significance import called
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.picking import of_layers
from core.stats.reach import out_of_reach
from core.stats.two_numbers import SECOND

NO_MATCH = "too few feature sets lie within a factor of 2 of the chosen one (the caliper), so that there is no control"


def estimates(
    tables: Mapping[str, pl.DataFrame], chosen: pl.DataFrame, layers: int, about: tuple[Concept, str], over: str = ""
) -> tuple[Estimate, ...]:
    """What was found.

    Args:
        tables: of the analysis.
        chosen: the features ablated, with layer and q.
        layers: how many layers the one was picked among.
        about: the concept, and what is counted.
        over: as in `Resampling`.
    """
    concept, counted = about
    shared = {
        "counted": f"test {counted}",
        "layer": chosen["layer"][0],
        "chosen": of_layers(layers, concept.name),
    }
    condition = f"two at a time of {called(chosen, concept)}, set to zero at every position"
    found, words = [], f"shift of the first {concept.adjective} word"
    for row in tables["overall"].rows(named=True):
        found += [_overall(row, tables["overall"].height, shared, (condition, over, words))]
        found += _strongest(
            tables["pairs"].filter(language=row["language"]), tables["overall"].height, shared, (over, words)
        )
    second = tables.get("second", pl.DataFrame())
    for row in second.rows(named=True):
        of = f"two at a time of the {row['features']} highest-ranked features, set to zero at every position"
        own = _overall(row, second.height, shared, (of, over, words))
        source = Source("second", own.source.key, own.source.column)
        found.append(replace(own, name=f"interaction{SECOND}.{row['language']}", source=source, answers=False))
    return tuple(found)


def _overall(
    row: Mapping[str, Any], languages: int, shared: Mapping[str, Any], about: tuple[str, str, str]
) -> Estimate:
    condition, over, words = about
    control = Control.of("random feature sets matched on firing rate, contribution and added norm", row)
    return Estimate(
        name=f"interaction.{row['language']}",
        quantity=f"{words} by two features beyond the sum of their own shifts, mean over pairs",
        value=row["effect"],
        unit="nats",
        n=row["images"],
        source=Source("overall", {"language": row["language"]}, "effect"),
        interval=(row["low"], row["high"]),
        control=control,
        p=row["p"],
        q=row["q"],
        family=number_of(languages, "language"),
        draws=row["draws"] or 0,
        language=row["language"],
        condition=condition,
        answers=True,
        caveats=(
            *(() if control else (NO_MATCH,)),
            *_reach(row, languages),
            *dependence(row, shared["counted"].removeprefix("test "), over),
        ),
        **shared,
    )


def _reach(row: Mapping[str, Any], tests: int) -> tuple[str, ...]:
    return out_of_reach(1 / (row["draws"] + 1), tests) if row["draws"] else ()


def _strongest(
    pairs: pl.DataFrame, languages: int, shared: Mapping[str, Any], about: tuple[str, str]
) -> Iterator[Estimate]:
    """The pair of the two features that rank highest on the selection split."""
    if pairs.is_empty():
        return
    row, (over, words) = pairs.row(0, named=True), about
    yield Estimate(
        name=f"first_pair.{row['language']}",
        quantity=f"{words} by two features beyond the sum of their own shifts",
        value=row["interaction"],
        unit="nats",
        n=row["images"],
        source=Source("pairs", {name: row[name] for name in ("language", "feature", "partner")}, "interaction"),
        interval=(row["low"], row["high"]),
        control=Control.of("random pairs at the same place of matched sets", row),
        p=row["p"],
        q=row["q"],
        family=number_of(languages, "language"),
        draws=row["draws"] or 0,
        language=row["language"],
        condition=f"features {row['feature']} and {row['partner']}, the two highest-ranked, set to zero",
        caveats=(*_reach(row, languages), *dependence(row, shared["counted"].removeprefix("test "), over)),
        **shared,
    )
