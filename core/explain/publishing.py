"""From what the units of a catalogue left, block by block, to the tables that are published together."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from core.explain.aggregates import AGGREGATES, aggregates
from core.explain.features_table import features_table, ten_neighbours
from core.explain.findings import estimates
from core.explain.published import write_tables
from core.explain.table_file import Card, Rows
from core.explain.tables import AGGREGATED, EXPLAINED, EXPLANATION_EMBEDDINGS, EXPLANATIONS, SCORES
from core.explain.vector_columns import vectors_of, with_bytes
from core.explain.vectors import example_similarity, recall_at_10
from core.features.index import FeatureIndex
from core.features.neighbours import NEIGHBOURS
from core.sae.formats import load_sae

EXAMPLES, WINDOWS, VECTORS = "examples.parquet", "windows.parquet", "vectors.parquet"
SCORED = "scores.parquet"
CARD, SUMMARY = "card.json", "summary.json"
_MOST_COMPARED = 20_000
"""Vectors among which recall@10 is measured."""


@dataclass(frozen=True)
class Embedded:
    """What one embedder made, a folder per unit; `name` is the embedder's in the catalogue."""

    name: str
    int8: bool
    examples: Sequence[Path]
    explanations: Sequence[Path]

    @property
    def card(self) -> Card:
        """What it embeds with."""
        told = json.loads((self.examples[0] / CARD).read_text(encoding="utf-8"))
        return Card(**told, int8=self.int8)

    def of_explanations(self) -> pl.DataFrame:
        """The embeddings of all explanations."""
        return joined([folder / VECTORS for folder in self.explanations], EXPLANATION_EMBEDDINGS)

    def of_examples(self) -> Iterator[pl.DataFrame]:
        """The embeddings of examples, block by block."""
        return (read(folder / VECTORS) for folder in self.examples)


@dataclass(frozen=True)
class Parts:
    """What the units left: folders of examples, explanations and scores, what embedders made (the first is the one
    that the main table compares explanations with), and of each SAE its name, index and folder."""

    examples: Sequence[Path]
    explanations: Sequence[Path]
    scores: Sequence[Path]
    embedded: Sequence[Embedded]
    saes: Sequence[tuple[str, Path, Path]]


def publish(parts: Parts, kinds: Mapping[str, str], draws: int, seed: int, out: Path) -> dict[str, float]:
    """Write all tables into the folder `out`, and beside them what explainers said, the scores over features
    (`AGGREGATES`) and the estimates. What the estimates say, by name.

    Args:
        parts: what the units left.
        kinds: the kind of each scorer by its name.
        draws: resamples behind each interval.
        seed: of all draws.
        out: an empty folder.

    Raises:
        BadInput: a table does not have its declared columns, or cannot be written.
    """
    said = joined([folder / EXPLAINED for folder in parts.explanations], EXPLANATIONS)
    scores = joined([folder / SCORED for folder in parts.scores], SCORES)
    first = parts.embedded[0].of_explanations()
    tables: dict[str, Rows] = {
        "features": features_table(said, scores, kinds, _neighbours(parts.saes), first),
        "activation_examples": (read(folder / EXAMPLES) for folder in parts.examples),
        "scores": scores,
    }
    cards: dict[str, Card] = {}
    for place, one in enumerate(parts.embedded):
        _add(one, f".{one.name}" if place else "", tables, cards)
    write_tables(out, tables, cards)
    return sum_up(said, scores, draws, seed, out)


def _add(one: Embedded, end: str, tables: dict[str, Rows], cards: dict[str, Card]) -> None:
    """Add an embedder's three tables."""
    told = one.of_explanations()
    names = [f"{name}{end}" for name in ("explanation_embeddings", "activation_embeddings")]
    tables[names[0]] = with_bytes(told) if one.int8 else told
    tables[names[1]] = (with_bytes(block) if one.int8 else block for block in one.of_examples())
    tables[f"activation_example_similarity{end}"] = (example_similarity(block) for block in one.of_examples())
    recalls = (_recall(told["embedding"]), _recall(_flat(one))) if one.int8 else (None, None)
    for name, recall in zip(names, recalls, strict=True):
        cards[name] = replace(one.card, recall_at_10=recall)


def _flat(one: Embedded) -> pl.Series:
    """The first vectors of examples."""
    found = pl.Series("embedding", [], pl.List(pl.Float32))
    for block in one.of_examples():
        found = pl.concat([found, block["embeddings"].explode(empty_as_null=False).alias("embedding")])
        if len(found) >= _MOST_COMPARED:
            break
    return found


def _recall(vectors: pl.Series) -> float | None:
    return recall_at_10(vectors_of(vectors[:_MOST_COMPARED])) if len(vectors) else None


def _neighbours(saes: Sequence[tuple[str, Path, Path]]) -> pl.DataFrame:
    """The nearest features of every SAE: `NEIGHBOURS` with `sae_id`."""
    found = [NEIGHBOURS.to_frame().with_columns(sae_id=pl.lit("", pl.String))]
    for sae_id, index, sae in saes:
        nearest = ten_neighbours(FeatureIndex.open(index).neighbours, partial(load_sae, sae))
        found.append(nearest.with_columns(sae_id=pl.lit(sae_id)))
    return pl.concat(found)


def sum_up(said: pl.DataFrame, scores: pl.DataFrame, draws: int, seed: int, out: Path) -> dict[str, float]:
    """Write what explainers said, the scores over features and the estimates beside the tables; what the estimates
    say, by name."""
    found = aggregates(scores, draws, seed) if scores.height else AGGREGATES.to_frame()
    write(said, out / EXPLAINED)
    write(found, out / AGGREGATED)
    told = estimates(found)
    counts = {
        "features": said.select("sae_id", "feature_id").unique().height,
        "explanations": said["text"].count(),
        "without_explanation": said["text"].null_count(),
    }
    text = json.dumps({**counts, "estimates": [asdict(one) for one in told]}, indent=1, ensure_ascii=False)
    (out / SUMMARY).write_text(text + "\n", encoding="utf-8")
    return {**counts, **{one.name: one.value for one in told}}


def read(path: Path) -> pl.DataFrame:
    """A table of a unit."""
    return pl.read_parquet(path, glob=False)


def joined(paths: Sequence[Path], schema: pl.Schema) -> pl.DataFrame:
    """The tables of several units as one."""
    return pl.concat([schema.to_frame(), *map(read, paths)])


def write(table: pl.DataFrame, path: Path) -> None:
    """Write a table that passes between units."""
    table.write_parquet(path, compression="zstd", statistics=False)
