"""What the scores of a catalogue say, as estimates: per explainer and scorer, beside the frozen dictionary."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from scipy import stats

from core.explain.metrics import ALL, AUROC, BALANCED_ACCURACY, CALLED, CORRELATION, SHARE
from core.stats.estimate import Control, Estimate, Source, number_of

TABLE = "aggregates"
_UNITS = {AUROC: "AUROC", SHARE: "share", BALANCED_ACCURACY: "", CORRELATION: ""}
_FLOOR = "features of the frozen dictionary"


def estimates(aggregates: pl.DataFrame) -> tuple[Estimate, ...]:
    """Per explainer and scorer, over all SAEs, kinds and languages of examples: the mean score, with features of the
    frozen dictionary as its control, and then the difference to these. q is over all the mean scores. There is none of
    a measure whose value by chance is not known, as the share of right answers that older pipelines kept."""
    over_all = pl.all_horizontal(pl.col("sae_id", "example_kind", "language") == ALL)
    whole = aggregates.filter(over_all & (pl.col("n") > 0) & pl.col("chance").is_not_null())
    tested = [row["p"] for row in whole.iter_rows(named=True) if row["p"] is not None]
    q = iter(stats.false_discovery_control(tested)) if tested else iter(())
    return tuple(one for row in whole.iter_rows(named=True) for one in _of_row(row, q, len(tested)))


def _of_row(row: Mapping[str, Any], q: Iterator[float], family: int) -> Iterator[Estimate]:
    told = {name: row[name] for name in ("explainer", "scorer")}
    key = {"sae_id": ALL, **told, "example_kind": ALL, "language": ALL}
    name = f"{row['scorer']}.{row['explainer']}"
    whose = f"of explanations by {row['explainer']} under {row['scorer']}"
    floor = [row[f"frozen_{what}"] for what in ("mean", "low", "high")]
    control = None if None in floor else Control(_FLOOR, *floor)
    corrected = None if row["p"] is None or family < 2 else float(next(q))
    unread = f"the answer could not be read on {row['n_failed']:,} of {row['n_judged'] + row['n_failed']:,} examples"
    yield Estimate(
        name=f"score.{name}",
        quantity=f"mean {CALLED[row['metric']]} {whose}",
        value=row["mean"],
        unit=_UNITS[row["metric"]],
        n=row["n"],
        counted="features",
        source=Source(TABLE, key, "mean"),
        interval=(row["low"], row["high"]),
        control=control,
        null=row["chance"],
        sides=2,
        p=row["p"],
        q=corrected,
        family=number_of(family, "explainer × scorer pair") if family > 1 else "",
        draws=row["draws"],
        split="",
        answers=True,
        caveats=(unread,) if row["n_failed"] else (),
    )
    if row["difference"] is not None:
        yield Estimate(
            name=f"difference.{name}",
            quantity=f"difference of the mean {CALLED[row['metric']]} {whose} to {_FLOOR}",
            value=row["difference"],
            unit="points" if row["metric"] == SHARE else _UNITS[row["metric"]],
            n=row["n"],
            counted=f"features beside {row['frozen_n']:,} of the frozen dictionary",
            source=Source(TABLE, key, "difference"),
            interval=(row["difference_low"], row["difference_high"]),
            split="",
            described=True,
        )
