"""What the classes of features support, as estimates."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from core.analysis.language_specific import Config
from core.analysis.language_specific.profiles import BETWEEN, SHARED
from core.data.languages import LANGUAGE_NAMES
from core.stats.estimate import Control, Estimate, Source, number_of


def findings(
    summary: pl.DataFrame, languages: Sequence[str], config: Config, layers: int, counted: str
) -> tuple[Estimate, ...]:
    """The estimates.

    Args:
        summary: `summary_table`.
        languages: the two.
        config: the classes' bounds.
        layers: how many were profiled.
        counted: images or items.
    """
    rows = {row["measure"]: row for row in summary.rows(named=True)}
    images = f"test {counted} with captions in both languages"
    family = f"2 shares and 2 selectivities of {number_of(layers, 'layer')}"
    found = [_specific(rows[language], language, config, layers, family) for language in languages]
    found += [_holds(rows[f"selectivity {language}"], language, config, images, family) for language in languages]
    found.append(_described(rows[SHARED], f"share of live features that {_meaning(SHARED, config)}", layers))
    for name in (*languages, SHARED):
        if row := rows.get(f"{name} - frozen"):
            what = f"share of features that {_meaning(name, config)}, minus that of the frozen dictionaries"
            found.append(_described(row, what, layers))
    return tuple(found)


def _specific(row: Mapping[str, Any], language: str, config: Config, layers: int, family: str) -> Estimate:
    return Estimate(
        name=f"specific.{language}",
        quantity=f"share of live features that {_meaning(language, config)}",
        null=row["control"] or 0.0,
        unit="share",
        counted=f"live features of {number_of(layers, 'layer')}, interval over them",
        split="select",
        answers=True,
        caveats=("a feature that reads a word of one language is specific to it by its words alone",),
        **_tested(row, language, family),
    )


def _holds(row: Mapping[str, Any], language: str, config: Config, counted: str, family: str) -> Estimate:
    return Estimate(
        name=f"selectivity.{language}",
        quantity=f"selectivity for {LANGUAGE_NAMES[language]} of the features that {_meaning(language, config)}",
        unit="",
        counted=counted,
        chosen="features chosen on the selection split",
        **_tested(row, language, family),
    )


def _tested(row: Mapping[str, Any], language: str, family: str) -> dict[str, Any]:
    return {
        "value": row["value"],
        "n": row["n"],
        "source": Source("summary", {"measure": row["measure"]}, "value"),
        "interval": (row["low"], row["high"]),
        "control": Control.of("runs with an image's two captions swapped at random", row),
        "sides": 1,
        "p": row["p"],
        "q": row["q"],
        "family": family,
        "draws": row["draws"] or 0,
        "language": language,
    }


def _described(row: Mapping[str, Any], quantity: str, layers: int) -> Estimate:
    beside = row["measure"].endswith("frozen")
    name = row["measure"].removesuffix(" - frozen")
    return Estimate(
        name=f"{name}.beyond_frozen" if beside else name,
        quantity=quantity,
        value=row["value"],
        unit="points" if beside else "share",
        n=row["n"],
        counted="layers, interval over them" if beside else f"live features of {number_of(layers, 'layer')}",
        source=Source("summary", {"measure": row["measure"]}, "value"),
        interval=(row["low"], row["high"]),
        split="select",
        described=True,
    )


def _meaning(name: str, config: Config) -> str:
    if name == SHARED:
        return f"fire in one language at most {_times(config.shared)} as often as in the other"
    return f"fire at least {_times(config.specific)} as often on {LANGUAGE_NAMES[name]} captions"


def _times(selectivity: float) -> str:
    if selectivity == 1:
        return "infinitely"
    return f"{(1 + selectivity) / (1 - selectivity):.3g} times"


def notes(config: Config, frozen: bool) -> tuple[str, ...]:
    """What was left out, and how to read what is there."""
    lines = [
        f"Classes by selectivity, (rate in one language − rate in the other) / their sum: specific from "
        f"{config.specific:g}, shared up to {config.shared:g}, {BETWEEN} what lies between. Rates are shares of an "
        "image's caption rows, averaged over images; instruction and image rows take no part.",
        "Live features: those that fire on captions of at least max(20, 1 %) of the images, whatever their language.",
        "Firing on one language's captions says nothing of what a feature is for: its words are that language's. "
        "Whether it carries the language's decision is a question of an intervention.",
    ]
    if not frozen:
        lines.append("No frozen dictionary beside the SAEs: sae.frozen: true trains one.")
    return tuple(lines)
