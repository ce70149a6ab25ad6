"""The spectra's findings: effective ranks over layers beside random matrices, and beside the frozen dictionary's."""

from collections.abc import Iterator, Mapping

import polars as pl

from core.analysis.spectra.spectrum import Null
from core.features.inputs import AnalysisInputs
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import corrected_within
from core.stats.intervals import bootstrap_mean
from core.stats.reach import out_of_reach

BOOTSTRAP = 1000
SUMMARY = pl.Schema(
    {
        **dict.fromkeys(("of", "matrix"), pl.String),
        **dict.fromkeys(("effective_rank", "low", "high"), pl.Float64),
        **dict.fromkeys(("random", "random_low", "random_high"), pl.Float64),
        **dict.fromkeys(("pca_1", "pca_10"), pl.Float64),
        **dict.fromkeys(("layers", "matrices", "draws"), pl.UInt32),
        "rank": pl.UInt32,
        "p": pl.Float64,
    }
)
"""One row a kind of matrix: its effective rank, averaged over heads, then over layers, with the interval over layers;
the largest `rank`; the random ones' mean and central 95 %, and p among them."""
BESIDE = pl.Schema(
    {
        "matrix": pl.String,
        **dict.fromkeys(("sae", "frozen", "difference", "low", "high"), pl.Float64),
        "layers": pl.UInt32,
    }
)
FROZEN_OF = "frozen dictionary"
_TESTED = pl.col("of") != FROZEN_OF
_SHORT = {"W_dec": "decoder", "W_enc · W_dec": "through", "W_dec · W_enc": "between", "W_V · W_O": "heads"}
_WORDS = {
    "W_dec": "features' directions (W_dec)",
    "W_enc · W_dec": "the map from stream to stream (W_enc · W_dec)",
    "W_dec · W_enc": "the map from features to features (W_dec · W_enc)",
    "W_V · W_O": "a head's map (W_V · W_O)",
}


def summary(spectra: pl.DataFrame, nulls: Mapping[tuple[str, str], Null], seed: int) -> pl.DataFrame:
    """The rows of `SUMMARY`, with q over those that are tested (Benjamini & Hochberg 1995); the frozen dictionary's are
    described, so that they have none."""
    rows = []
    for (of, matrix), part in spectra.group_by("of", "matrix", maintain_order=True):
        by_layer = (
            part.group_by("layer").agg(pl.col("effective_rank").mean()).sort("layer")["effective_rank"].to_numpy()
        )
        low, mean, high = bootstrap_mean(by_layer, BOOTSTRAP, seed)
        null = nulls[str(of), str(matrix)]
        rows.append(
            {
                "of": of,
                "matrix": matrix,
                "effective_rank": mean,
                "low": low,
                "high": high,
                **null.row,
                "p": null.p(mean),
                "rank": part["rank"].max(),
                "pca_1": part["pca_1"].mean(),
                "pca_10": part["pca_10"].mean(),
                "layers": by_layer.size,
                "matrices": part.height,
            }
        )
    table = pl.DataFrame(rows, schema=SUMMARY)
    q = corrected_within(table.with_columns(pl.when(_TESTED).then("p").alias("p")), pl.lit("all"))["q"]
    return table.with_columns(q)


def beside_frozen(spectra: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The rows of `BESIDE`: effective ranks of the SAE's matrices less the frozen dictionary's, layer by layer."""
    wide = spectra.filter(pl.col("head").is_null()).pivot("of", index=["layer", "matrix"], values="effective_rank")
    rows = []
    if {"SAE", "frozen dictionary"} <= set(wide.columns):
        for (matrix,), part in wide.group_by("matrix", maintain_order=True):
            own, other = part["SAE"].to_numpy(), part["frozen dictionary"].to_numpy()
            low, mean, high = bootstrap_mean(own - other, BOOTSTRAP, seed)
            ends = {"low": low, "high": high}
            areas = {"sae": own.mean(), "frozen": other.mean()}
            rows.append({"matrix": matrix, **areas, "difference": mean, **ends, "layers": own.size})
    return pl.DataFrame(rows, schema=BESIDE)


def estimates(tables: Mapping[str, pl.DataFrame]) -> tuple[Estimate, ...]:
    """Effective ranks, tested against random matrices; the differences from the frozen dictionary are described."""
    return (*_ranks(tables["summary"]), *_differences(tables["beside_frozen"]))


def _ranks(table: pl.DataFrame) -> Iterator[Estimate]:
    family = number_of(table.filter(_TESTED).height, "kind") + " of matrices"
    for row in table.iter_rows(named=True):
        frozen = row["of"] == FROZEN_OF
        of = "" if row["of"] == "attention heads" else f" of the {row['of']}"
        yield Estimate(
            name=f"effective_rank.{_SHORT[row['matrix']]}{'.frozen' if frozen else ''}",
            quantity=f"effective rank of {_WORDS[row['matrix']]}{of}",
            value=row["effective_rank"],
            unit="directions",
            n=row["layers"],
            counted="layers, interval over them",
            source=Source("summary", {"of": row["of"], "matrix": row["matrix"]}, "effective_rank"),
            interval=(row["low"], row["high"]),
            null=row["random"],
            control=Control.of("random matrices of its shape", row, "random"),
            p=row["p"],
            q=row["q"],
            family="" if frozen else family,
            draws=row["draws"],
            split="",
            answers=not frozen,
            described=frozen,
            caveats=(
                f"rank {row['rank']}; the first ten principal components hold {row['pca_10']:.1%} of the variance",
            ),
        )


def _differences(table: pl.DataFrame) -> Iterator[Estimate]:
    for row in table.iter_rows(named=True):
        yield Estimate(
            name=f"beside_frozen.{_SHORT[row['matrix']]}",
            quantity=f"effective rank of {_WORDS[row['matrix']]} of the SAE, minus the frozen dictionary's",
            value=row["difference"],
            unit="directions",
            n=row["layers"],
            counted="layers, interval over them",
            source=Source("beside_frozen", {"matrix": row["matrix"]}, "difference"),
            interval=(row["low"], row["high"]),
            described=True,
            split="",
            caveats=("layers of one model are no independent draws, so that no test is made",),
        )


def notes(inputs: AnalysisInputs, summarised: pl.DataFrame, refused: str) -> tuple[str, ...]:
    """How to read the spectra, and what was left out."""
    lines = [
        "Weights are fixed numbers: intervals are over layers, and tell how much layers differ. Random "
        "dictionaries are what training starts from (unit decoder rows in random directions, the encoder its "
        "transpose); random heads have independent normal weights. A mean over layers is compared with single random "
        "matrices, which spread more than their means would. Effective rank is e^H of σ / Σσ (Roy & Vetterli 2007).",
    ]
    if inputs.open_frozen is None:
        lines.append("No frozen dictionary (sae.frozen): the SAE stands beside random matrices alone.")
    tests, draws = summarised.filter(_TESTED).height, int(summarised["draws"].min() or 0)  # type: ignore[arg-type]
    lines += [f"Kinds of matrices: {told}." for told in out_of_reach(1 / (1 + draws), tests)]
    if refused:
        lines.append(f"No heads were read: {refused}.")
    return tuple(lines)
