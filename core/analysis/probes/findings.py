"""The probes' findings as estimates, and what is to be known beside them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from core.analysis.probes.cells import Cell
from core.features.inputs import AnalysisInputs
from core.features.readings import FROZEN_READ, RANDOM_READ, SAE_READ, STREAM_READ, disagreements
from core.stats.estimate import Control, Estimate, Source, number_of

Tables = Mapping[str, pl.DataFrame]
_AGAINST = {
    FROZEN_READ: ("beyond_frozen", "features of the frozen dictionary"),
    RANDOM_READ: ("beyond_random", "random directions"),
}
_CHOSEN = "the layer at which the linear probe of the stream reads the selection split best"


def estimates(inputs: AnalysisInputs, tables: Tables, concluded: tuple[int, int]) -> tuple[Estimate, ...]:
    """What is read at the chosen layers, and by how much the SAE's features beat the frozen dictionary's."""
    return (*_read(inputs, tables["best"], concluded), *_beyond(inputs, tables["comparisons"], concluded))


def _read(inputs: AnalysisInputs, best: pl.DataFrame, concluded: tuple[int, int]) -> Iterator[Estimate]:
    linear = pl.col("features").is_null() & (pl.col("read") == STREAM_READ)
    sparse = pl.col("features").is_in(concluded) & (pl.col("read") == SAE_READ)
    answers = inputs.open_frozen is None
    for row in best.filter(linear | sparse).iter_rows(named=True):
        k = row["features"]
        what = f"a probe of {_features(k)}" if k else "a linear probe of the stream"
        key = {name: row[name] for name in ("label", "language", "position_set", "read", "method")}
        yield Estimate(
            name=_name("sparse" if k else "linear", row, k),
            quantity=f"AUROC of {what} for {row['label']} on {row['position_set']} rows",
            value=row["auroc"],
            unit="AUROC",
            source=Source("best", key, "auroc"),
            interval=(row["low"], row["high"]),
            null=0.5,
            control=Control(
                f"shuffles of the labels by {inputs.counted[:-1]}",
                row["shuffled"],
                row["shuffled_low"],
                row["shuffled_high"],
                row["draws"],
            ),
            draws=row["draws"],
            answers=answers and row["decision"] and k is not None,
            family=number_of(best.height, "probe"),
            caveats=_task(row),
            **_common(inputs, row),
        )


def _task(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["control"] is None:
        return ("every image has one word there, so that the control task is not defined",)
    return (
        f"accuracy {row['accuracy']:.3f}, {row['majority']:.3f} by the commonest class and {row['control']:.3f} on "
        "random labels per word type",
    )


def _beyond(inputs: AnalysisInputs, table: pl.DataFrame, concluded: tuple[int, int]) -> Iterator[Estimate]:
    chosen = pl.col("against").is_in(list(_AGAINST)) & pl.col("features").is_in(concluded)
    for row in table.filter(chosen).iter_rows(named=True):
        k = row["features"]
        key = {name: row[name] for name in ("label", "language", "position_set", "features", "against")}
        yield Estimate(
            name=_name(_AGAINST[row["against"]][0], row, k),
            quantity=f"AUROC for {row['label']} of {_features(k)} on {row['position_set']} rows, minus that of as many "
            f"{_AGAINST[row['against']][1]}",
            value=row["excess"],
            unit="AUROC",
            source=Source("comparisons", key, "excess"),
            interval=(row["low"], row["high"]),
            control=Control.of("swaps of the two probes", row, "null"),
            draws=row["draws"],
            family=number_of(table.height, "comparison"),
            answers=row["decision"] and row["against"] == FROZEN_READ,
            caveats=(_beside(row),),
            **_common(inputs, row),
        )


def _beside(row: Mapping[str, Any]) -> str:
    areas = f"AUROC {row['auroc']:.3f} beside {row['other']:.3f}"
    return areas if row["excess"] >= 0 else f"{areas}: the {_AGAINST[row['against']][1]} read it better"


def _common(inputs: AnalysisInputs, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n": row["test_images"],
        "counted": f"test {inputs.counted}, twins as one",
        "language": row["language"],
        "layer": row["layer"],
        "p": row["p"],
        "q": row["q"],
        "chosen": _CHOSEN,
    }


def _features(k: int) -> str:
    return f"{k} SAE feature{'' if k == 1 else 's'}"


def _name(kind: str, row: Mapping[str, Any], k: int | None) -> str:
    """The estimate's name; of a column's name only what MLflow takes."""
    label = re.sub(r"[^A-Za-z0-9_-]", "_", row["label"])
    return ".".join([kind, *([str(k)] if k else []), label, row["position_set"], row["language"]])


def notes(inputs: AnalysisInputs, tables: Tables, empty: Iterable[Cell], found: Iterable[Estimate]) -> tuple[str, ...]:
    """How to read the probes, what was left out, and where two numbers of features disagree."""
    lines = [
        f"The unit is the {inputs.counted[:-1]} with its twin; features and strengths are chosen on training "
        f"{inputs.counted}, the layer on selection {inputs.counted}; what is said is measured on test ones.",
        "Random directions are one draw of as many unit directions as the SAE has features, along which the stream is "
        "read; all of them together are no fewer numbers than the stream, so that they have no linear probe here.",
    ]
    if inputs.open_frozen is None:
        lines.append(
            "No frozen dictionary (sae.frozen): SAE features stand beside random directions and the stream alone."
        )
    skipped = [f"{cell.label} on {cell.position_set} rows ({cell.language})" for cell in empty]
    if skipped:
        lines.append(f"Too few {inputs.counted} (two labels with 5 in train and in test): {', '.join(skipped)}.")
    return (*lines, *disagreements(found), *_nothing(tables))


def _nothing(tables: Tables) -> Iterator[str]:
    if tables["probes"].is_empty():
        yield "Nothing could be probed."
