"""Gather what the report of a concept scan says from the artefacts that the scan left."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.concepts.capturing import dropped_sentences
from core.concepts.scanned import ScannedSAE
from core.concepts.sentences import SENTENCES, load
from core.concepts.shown import EXAMPLES, ONSETS, examples, onsets
from core.stats.estimate import Estimate
from core.store.artifacts import Artifact, ArtifactStore, read_json

EACH = 2
"""Examples of each label."""
TABLES = ("ranking", "baselines", "comparisons", "permutation", "maxima")


@dataclass(frozen=True)
class ScanReport:
    """Everything that the report of a scan says.

    `scan` is the scan's `model_dump`, `saes` what the registry declares of each SAE, and `left_out` says of SAEs that
    are not ranked why. `tables` are the ranking's; `top` its best features, in order; `output`, `matches` and `tokens`
    what they write; `examples` and `onsets` what they fire on (`core.concepts.shown`).
    """

    scan: Mapping[str, Any]
    summary: Mapping[str, Any]
    saes: Sequence[Mapping[str, Any]]
    left_out: Mapping[str, str]
    dropped: pl.DataFrame
    estimates: tuple[Estimate, ...]
    tables: Mapping[str, pl.DataFrame]
    top: pl.DataFrame
    output: pl.DataFrame
    matches: pl.DataFrame
    tokens: pl.DataFrame
    examples: pl.DataFrame
    onsets: pl.DataFrame
    sentences: pl.DataFrame
    measured_l0: Mapping[str, float]


def collect_scan(
    store: ArtifactStore, recipe: Mapping[str, Any], inputs: Mapping[str, Iterable[Artifact]]
) -> ScanReport:
    """Read what the units in `inputs` (roles sentences, fragments, scanned, ranking, output) wrote.

    Raises:
        BadInput: a file is missing or damaged.
    """
    folders = {role: [store.path(artifact) for artifact in artifacts] for role, artifacts in inputs.items()}
    ranking, output = folders["ranking"][0], folders["output"][0]
    sentences = load(folders["sentences"][0] / SENTENCES)
    opened = {one.card.key: one for one in map(ScannedSAE.open, folders["scanned"])}
    top = _read(ranking / "top_features.parquet").head(recipe["scan"]["shown"])
    summary = read_json(ranking / "summary.json")
    named = list(top.select("sae", "feature").iter_rows())
    return ScanReport(
        scan=recipe["scan"],
        summary=summary,
        saes=recipe["saes"],
        left_out=recipe["left_out"],
        dropped=dropped_sentences(folders["fragments"]),
        estimates=tuple(map(Estimate.from_json, summary["estimates"])),
        tables={name: _read(ranking / f"{name}.parquet") for name in TABLES},
        top=top,
        output=_read(output / "output_scores.parquet"),
        matches=_with_association(_read(output / "matches.parquet"), _read(ranking / "ranking.parquet")),
        tokens=_read(output / "tokens.parquet"),
        examples=pl.concat([EXAMPLES.to_frame(), *(examples(opened[sae], sentences, one, EACH) for sae, one in named)]),
        onsets=pl.concat([ONSETS.to_frame(), *(onsets(opened[sae], sentences, one) for sae, one in named)]),
        sentences=sentences,
        measured_l0={key: one.card.measured_l0 for key, one in opened.items()},
    )


def _read(path: Any) -> pl.DataFrame:
    return pl.read_parquet(path, glob=False)


def _with_association(matches: pl.DataFrame, ranking: pl.DataFrame) -> pl.DataFrame:
    """The matches with the other feature's own Spearman with the label; null where it is not tested."""
    other = ranking.select(
        pl.col("sae").alias("other_sae"),
        pl.col("feature").alias("other_feature"),
        pl.col("spearman").alias("other_spearman"),
    )
    return matches.join(other, on=["other_sae", "other_feature"], how="left", maintain_order="left")
