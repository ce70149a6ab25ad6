"""What the overview left out and how to read it, and further numbers for MLflow."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from core.analysis.overview.findings import Tables, places
from core.data.concept import a_side, capitalised
from core.features.inputs import AnalysisInputs


def metrics(tables: Tables) -> dict[str, float]:
    """Further flat numbers for MLflow; a number that could not be measured is left out."""
    summary = tables["quality_summary"]
    found: dict[str, float | None] = {
        "test_fvu_median": _median(summary, "fvu"),
        "train_fvu_median": _median(summary, "fvu_train"),
        "dead_median": _median(summary, "dead"),
        "l0_median": _median(summary, "l0"),
    }
    if "splice" in tables:
        found["delta_ce_median"] = _median(tables["splice"], "delta_ce")
    for row in tables["emergence_summary"].iter_rows(named=True):
        found[f"onset_layer_{_named(row)}"] = row["onset"]
    for row in tables["peaks"].iter_rows(named=True):
        found[f"peak_layer_{_named(row)}"] = row["layer"]
    return {name: float(value) for name, value in found.items() if value is not None and value == value}


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['language']}_{row['position_set']}".replace("-", "_")


def notes(inputs: AnalysisInputs, tables: Tables) -> tuple[str, ...]:
    """What was left out, and how to read what is there."""
    counted, concept = inputs.counted[:-1], inputs.concept
    own = concept.positions
    lines = [
        f"{capitalised(concept.name)} on image, {own.first} and {own.later} tokens is shown as reading, not as "
        "emergence: the word or the picture is there to be read.",
        "Rows of the last prompt token are control tokens that no SAE was trained on; probes there read the stream "
        "itself, and features there are named with this reservation.",
        "The control task draws a random label for each word type; it is undefined where all units share one word.",
        "Rows that are the same in every language are measured once, as shared; their labels are those on which the "
        f"captions of all languages agree. p-values of features count each {counted} as one, twins included.",
    ]
    if inputs.images is None:
        lines.append("Text only: nothing was measured on image tokens.")
    if len(inputs.languages) == 1:
        lines.append("One language: agreement between languages was left out.")
    if "profession" not in inputs.samples.columns:
        lines.append("No profession column: leave-professions-out was left out.")
    elif tables["emergence_summary"]["professions_out"].null_count():
        lines.append(
            f"Leave-professions-out is left out where a fold has fewer than 5 {inputs.counted} of {a_side(concept)}."
        )
    if "splice" not in tables:
        lines.append(f"The loss with SAEs spliced in was not measured (spliced_images is 0, or no test {counted}).")
    elif tables["splice"]["loss_recovered"].null_count():
        lines.append(
            "No share of the loss is recovered where mean ablation costs nothing, or where the share is not between "
            "0 and 1."
        )
    if tables["quality_summary"]["fvu"].null_count():
        lines.append("FVU and explained variance are undefined for a layer whose test rows are identical or missing.")
    return (*lines, *_missing(inputs, tables))


def _missing(inputs: AnalysisInputs, tables: Tables) -> Iterator[str]:
    measured = set(tables["emergence"]["position_set"].unique())
    known = [name for name in places(inputs.concept) if name != "image" or inputs.images is not None]
    missing = [name for name in known if name not in measured]
    if missing:
        few = f"Too few {inputs.counted} (under 5 of {a_side(inputs.concept)} in train or test) have rows"
        yield f"{few}: {', '.join(missing)}."


def _median(table: pl.DataFrame, column: str) -> float:
    value = table[column].median()
    return float(value) if isinstance(value, int | float) else float("nan")


def outlier_notes(outliers: Mapping[int, int], layers: int) -> tuple[str, ...]:
    """What is to be said of outliers, by layer how many there are; nothing where there are none."""
    some = [count for count in outliers.values() if count]
    if not some:
        return ()
    return (
        f"Outliers ({sum(some):,} rows in {len(some)} of {layers} layers; capture.max_norm_multiple) are in none of "
        "these figures, and tokens beyond a layer's limit keep their stream where its SAE is spliced in.",
    )
