"""The estimates of generated captions as a set: LIC, and directional amplification either way."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from core.analysis.bias.hidden import Hidden
from core.analysis.bias.sets import HIDDEN, LIC, SHOWN, TO_ATTRIBUTE, TO_TASK
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.written import number


def set_estimates(hidden: Hidden, table: pl.DataFrame) -> Iterator[Estimate]:
    """One estimate per row of `core.analysis.bias.sets.SETS`."""
    concept = hidden.inputs.concept
    group = hidden.columns[0] if hidden.columns else ""
    quantities = {
        LIC: f"LIC: leakage of the {concept.name} through other words, of generated captions minus the data's own",
        TO_ATTRIBUTE: f"directional bias amplification from {group} to the {concept.name} that captions tell",
        TO_TASK: f"directional bias amplification from the {concept.name} to the words of captions",
    }
    names = {LIC: "lic", TO_ATTRIBUTE: "amplified_side", TO_TASK: "amplified_words"}
    pictures = {SHOWN: f"images that show the {concept.name}", HIDDEN: f"images that do not show the {concept.name}"}
    for row in table.iter_rows(named=True):
        control = Control.of("exchanges of generated and own captions", row)
        yield Estimate(
            name=f"{names[row['measure']]}.{'shown' if row['pictures'] == SHOWN else 'hidden'}.{row['language']}",
            quantity=quantities[row["measure"]],
            value=row["value"],
            unit="points",
            n=row["images"],
            counted=pictures[row["pictures"]],
            source=Source("sets", {name: row[name] for name in ("measure", "pictures", "language")}, "value"),
            interval=(row["low"], row["high"]),
            control=control,
            null=0.0 if control is None else control.mean,
            p=row["p"],
            q=row["q"],
            family=number_of(table.filter(measure=row["measure"]).height, "test"),
            draws=row["draws"],
            split="all",
            language=row["language"],
            caveats=_caveats(row),
        )


def _caveats(row: dict[str, Any]) -> tuple[str, ...]:
    if row["measure"] != LIC:
        return ()
    parts = [f"leakage {number(row['model'])} of generated captions, {number(row['data'])} of the data's"]
    parts.append(f"with shuffled labels {number(row['model_shuffled'])} and {number(row['data_shuffled'])}")
    return ("; ".join(parts),)
