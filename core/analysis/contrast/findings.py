"""The contrast's findings as estimates, and how to read them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from core.data.languages import LANGUAGE_NAMES
from core.features.inputs import AnalysisInputs
from core.features.readings import FROZEN_READ, STREAM_READ, disagreements
from core.stats.estimate import Control, Estimate, Source, number_of

Tables = Mapping[str, pl.DataFrame]
NOT_STEERED = (
    "Probes were contrasted, not interventions: directions of one language were not steered with in the other."
)
_CHOSEN = "the layer at which the probe reads selection images of its own language best"


def estimates(inputs: AnalysisInputs, tables: Tables) -> tuple[Estimate, ...]:
    """Transfer as AUROC and, after centring, as accuracy; what it loses, and SAE features beside frozen ones."""
    across = tables["chosen"].filter(pl.col("source") != pl.col("target"))
    stream = across.filter(read=STREAM_READ)
    return (
        *(_transfer(inputs, row, across.height) for row in stream.iter_rows(named=True)),
        *(_centred(inputs, row, across.height) for row in stream.iter_rows(named=True)),
        *_compared(inputs, tables["comparisons"]),
    )


def _way(row: Mapping[str, Any]) -> str:
    return f"{LANGUAGE_NAMES.get(row['source'], row['source'])} captions"


def _name(kind: str, row: Mapping[str, Any]) -> str:
    return f"{kind}.{row['position_set']}.{row['source']}-{row['target']}"


def _key(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("position_set", "source", "target", "read")}


def _common(inputs: AnalysisInputs, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n": row["test_images"],
        "counted": f"test {inputs.counted}",
        "language": row["target"],
        "layer": row["layer"],
        "draws": row["draws"],
        "chosen": _CHOSEN,
    }


def _transfer(inputs: AnalysisInputs, row: Mapping[str, Any], tests: int) -> Estimate:
    shuffles = f"shuffles of the labels by {inputs.counted[:-1]}"
    return Estimate(
        name=_name("transfer", row),
        quantity=f"AUROC for {inputs.concept.name} on {row['position_set']} rows of a probe trained on {_way(row)}",
        value=row["auroc"],
        unit="AUROC",
        source=Source("chosen", _key(row), "auroc"),
        interval=(row["low"], row["high"]),
        null=0.5,
        control=Control(shuffles, row["shuffled"], row["shuffled_low"], row["shuffled_high"], row["draws"]),
        p=row["p"],
        q=row["q"],
        family=number_of(tests, "probe"),
        answers=row["decision"],
        **_common(inputs, row),
    )


def _centred(inputs: AnalysisInputs, row: Mapping[str, Any], tests: int) -> Estimate:
    shuffles = f"shuffles of the labels by {inputs.counted[:-1]}"
    return Estimate(
        name=_name("accuracy", row),
        quantity=f"share named rightly on {row['position_set']} rows by a probe trained on {_way(row)}, each language "
        "less its own unlabelled mean",
        value=row["centred"],
        unit="share",
        source=Source("chosen", _key(row), "centred"),
        interval=(row["centred_low"], row["centred_high"]),
        null=row["chance"],
        control=Control(shuffles, row["chance"], row["chance_low"], row["chance_high"], row["draws"]),
        p=row["p_centred"],
        q=row["q_centred"],
        family=number_of(tests, "probe"),
        caveats=(f"{row['accuracy']:.1%} without centring, {row['majority']:.1%} by the commoner training side",),
        **_common(inputs, row),
    )


def _compared(inputs: AnalysisInputs, table: pl.DataFrame) -> Iterator[Estimate]:
    for row in table.iter_rows(named=True):
        frozen = row["against"] == FROZEN_READ
        k = row["features"]
        keys = ("position_set", "source", "target", "what", *(("features",) if frozen else ()))
        what = f"{number_of(k, 'SAE feature')} chosen on {_way(row)}" if frozen else f"a probe trained on {_way(row)}"
        less = "as many of the frozen dictionary" if frozen else "one trained on the same language"
        yield Estimate(
            name=_name(f"beyond_frozen.{k}" if frozen else "beside_own", row),
            quantity=f"AUROC for {inputs.concept.name} on {row['position_set']} rows of {what}, minus that of {less}",
            value=row["excess"],
            unit="AUROC",
            source=Source("comparisons", {name: row[name] for name in keys}, "excess"),
            interval=(row["low"], row["high"]),
            control=Control.of("swaps of the two probes", row, "null"),
            p=row["p"],
            q=row["q"],
            family=number_of(table.height, "comparison"),
            caveats=(f"AUROC {row['auroc']:.3f} beside {row['other']:.3f}",),
            **_common(inputs, row),
        )


def notes(inputs: AnalysisInputs, tables: Tables, shared: Sequence[str], found: Iterable[Estimate]) -> tuple[str, ...]:
    """How to read the contrast, and what was left out."""
    if len(inputs.languages) < 2:
        return ("One language: nothing to contrast.",)
    lines = [
        "AUROC asks whether the order of the scores carries over, whatever their level; accuracy asks whether the "
        "probe's threshold does, after each language's own mean over training rows, labelled or not, was subtracted.",
        NOT_STEERED,
    ]
    if shared:
        lines.append(f"Rows that are the same in both languages were left out: {', '.join(shared)}.")
    if inputs.open_frozen is None:
        lines.append("No frozen dictionary (sae.frozen): SAE features stand in the table beside the stream alone.")
    if tables["transfer"].is_empty():
        lines.append(f"Too few {inputs.counted} (5 of a side in train and in test of a language): nothing was probed.")
    return (*lines, *disagreements(found))
