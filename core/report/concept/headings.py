"""The tables of a scan's report in words: headings, and how contrasts are named in the rows."""

from dataclasses import replace

import polars as pl

from core.concepts.measures import AUROCS, SPEARMAN
from core.report.columns import Column, TableView, table_view
from core.report.model import ShownTable
from core.report.pictures import Pictures

_CONTRASTS = {"auroc_3_0": "AUROC, 3 against 0", "auroc_23_01": "AUROC, 2–3 against 0–1"}
_MEASURES = {SPEARMAN.name: "Spearman", **{one.name: _CONTRASTS[one.name] for one in AUROCS}}
_WAYS = {1: "added", -1: "taken away"}
_INTERVAL = {"low": "95 % from", "high": "to"}
HEADINGS = {
    "top_features": {
        "support": "Fires on",
        "spearman": "Spearman, selection",
        "partial_spearman": "Spearman given length",
        "auroc_3_0_held_out": "AUROC 3 against 0, held-out",
        "auroc_3_0_held_out_low": "95 % from",
        "auroc_3_0_held_out_high": "to",
        "stability": "Share of resamples",
    },
    "baselines": {
        "chosen": "Chosen on selection",
        "auroc_selection": "AUROC, selection",
        "auroc": "AUROC, held-out",
        **_INTERVAL,
    },
    "comparisons": {
        "method": "Beside",
        "difference": "Feature's AUROC less it",
        **_INTERVAL,
        "null_mean": "Exchanged scores: mean",
        "null_low": "2.5 %",
        "null_high": "97.5 %",
    },
    "permutation": {
        "distance": "Distance from no effect",
        **_INTERVAL,
        "null_mean": "Exchanged labels: mean",
        **{f"null_q{name}": f"{share} %" for name, share in {"025": 2.5, "250": 25, "750": 75, "950": 95}.items()},
        "null_q050": "5 %",
        "null_q500": "median",
        "null_q975": "97.5 %",
    },
    "output_scores": {
        "sign": "Way",
        "score": "Output score, nats per token",
        **_INTERVAL,
        "control": "Comparable features: mean",
        "control_low": "2.5 %",
        "control_high": "97.5 %",
        "draws": "Comparable features",
        "cost": "Loss on label 0, nats per token",
        "relative_norm": "Length added / stream",
    },
    "matches": {
        "other_sae": "SAE beside it",
        "other_layer": "Its layer",
        "other_feature": "Its feature",
        "cosine": "Cosine of the decoders",
        "other_spearman": "Its Spearman",
    },
    "saes": {
        "width": "Features",
        "declared_l0": "L0, declared",
        "measured_l0": "L0, measured",
        "tested": "Features tested",
        "best_spearman": "Largest |Spearman|",
    },
    "examples": {"max": "Strongest", "full": "At its end", "strip": "Sentence, token by token"},
    "dropped": {"sentence_id": "Sentence"},
}
"""By table, headings of columns whose own names do not say it."""


def headed(table: str, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns of a table of the report with what stands above them."""
    return tuple(replace(one, heading=HEADINGS[table].get(one.name, one.heading)) for one in columns)


def view(name: str, title: str, table: pl.DataFrame) -> TableView:
    """A table ready for the page, headed in words."""
    shown = table_view(ShownTable(name, title, _in_words(table)), Pictures(None))
    return replace(shown, columns=headed(name, shown.columns))


def _in_words(table: pl.DataFrame) -> pl.DataFrame:
    found = table
    if "measure" in table.columns:
        found = found.with_columns(pl.col("measure").replace_strict(_MEASURES))
    if "sign" in table.columns:
        found = found.with_columns(pl.col("sign").replace_strict(_WAYS, return_dtype=pl.String))
    return found.rename({"q_spearman": "q"}, strict=False)
