"""The lens's findings as estimates, and how to read them."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from core.analysis.logit_lens.reading import FROZEN_READ, STREAM_READ
from core.features.inputs import AnalysisInputs
from core.stats.curves import RUN
from core.stats.estimate import Control, Estimate, Source, number_of

Tables = Mapping[str, pl.DataFrame]


def estimates(inputs: AnalysisInputs, tables: Tables, draws: int) -> tuple[Estimate, ...]:
    """From which layer on the right side's word is ahead, by how much, and what the SAE leaves of it."""
    return (*_onsets(inputs, tables["onsets"], draws), *_through(inputs, tables["comparisons"]))


def _onsets(inputs: AnalysisInputs, table: pl.DataFrame, draws: int) -> Iterator[Estimate]:
    for row in table.iter_rows(named=True):
        few = row["layers"] < RUN
        plain = row["read"] == STREAM_READ
        where = "the stream" if plain else f"the {row['read']}'s reconstruction"
        common: dict[str, Any] = {
            "n": row["images"],
            "counted": f"test {inputs.counted}",
            "language": row["language"],
            "layer": row["layer"],
            "chosen": _chosen(row),
        }
        key = {"language": row["language"], "read": row["read"]}
        shuffled = (row["shuffled"], row["shuffled_low"], row["shuffled_high"])
        suffix = "" if plain else f".{'sae' if row['read'] != FROZEN_READ else 'frozen'}"
        yield Estimate(
            name=f"onset.{row['language']}{suffix}",
            quantity=f"AUROC of the order of the two sides' best words in {where} for {inputs.concept.name}, in the "
            "row before the word",
            value=row["auroc"],
            unit="AUROC",
            source=Source("onsets", key, "auroc"),
            interval=(row["low"], row["high"]),
            null=0.5,
            control=Control(f"shuffles of the labels by {inputs.counted[:-1]}", *shuffled, draws),
            p=row["p"],
            q=row["q"],
            family=number_of(row["curves"], "reading"),
            draws=draws,
            answers=plain,
            described=few,
            caveats=(_ranks(row),),
            **common,
        )
        if plain:
            yield Estimate(
                name=f"ahead.{row['language']}",
                quantity="how far the right side's best word is ahead of the other side's in rank",
                value=row["ahead"],
                unit="doublings",
                source=Source("onsets", key, "ahead"),
                interval=(row["ahead_low"], row["ahead_high"]),
                described=True,
                **common,
            )


def _ranks(row: Mapping[str, Any]) -> str:
    return f"median rank {row['own_rank']:.0f} of the right side's best word, {row['other_rank']:.0f} of the other's"


def _chosen(row: Mapping[str, Any]) -> str:
    if row["onset"] is not None:
        return f"the first of {RUN} measured layers in a row beyond shuffled curves on the selection split"
    return "the last measured layer"


def _through(inputs: AnalysisInputs, table: pl.DataFrame) -> Iterator[Estimate]:
    for row in table.filter(against=FROZEN_READ).iter_rows(named=True):
        yield Estimate(
            name=f"beyond_frozen.{row['language']}",
            quantity="AUROC of the words' order through the SAE, minus that through the frozen dictionary, averaged "
            f"over {number_of(row['layers'], 'layer')}",
            value=row["excess"],
            unit="AUROC",
            n=row["images"],
            counted=f"test {inputs.counted}",
            source=Source("comparisons", {"language": row["language"], "against": FROZEN_READ}, "excess"),
            interval=(row["low"], row["high"]),
            control=Control.of("swaps of the two readings", row, "null"),
            p=row["p"],
            q=row["q"],
            family=number_of(table.height, "comparison"),
            draws=row["draws"],
            language=row["language"],
            caveats=(f"AUROC {row['auroc']:.3f} beside {row['other']:.3f}",),
        )


def notes(inputs: AnalysisInputs, tables: Tables, has_final: bool) -> tuple[str, ...]:
    """How to read the lens, and what was left out."""
    sides = " and ".join(inputs.concept.sides)
    lines = [
        f"The words of a side are tokens that open its first words ({sides}) in training captions and never the other "
        "side's; a token is the opening of a word, not the whole. The best-ranked one of a side stands for it.",
        "The row before the word is a caption token, or the last prompt token where a caption opens with the word; no "
        "SAE was trained on the latter.",
    ]
    if not has_final:
        lines.append("KL to the last layer was left out, for the last layer was not captured.")
    if inputs.open_frozen is None:
        lines.append("No frozen dictionary (sae.frozen): the SAE's reconstruction stands beside the stream alone.")
    missing = [name for name in inputs.languages if name not in tables["onsets"]["language"].to_list()]
    if missing:
        lines.append(f"No tokens of both sides, or no rows before them: {', '.join(missing)}.")
    return tuple(lines)
