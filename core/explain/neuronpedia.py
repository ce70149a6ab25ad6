"""Catalogues for Neuronpedia: the tree of its v1 exports, which its tools read back."""

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import BadInput
from core.explain.examples import dense_values
from core.explain.published import read_table, scan_table
from core.features.influence import PROMOTED
from core.store.folders import refuse_filled, renamed_into

BATCH = 1024
"""Features of a batch file, as Neuronpedia's own export has them."""
STATISTICS = pl.Schema({"feature": pl.UInt32(), "density": pl.Float64()})
"""What the feature index says of each feature: the share of rows it fires on."""
_TOKENS = 10
"""Promoted and suppressed tokens of a feature."""
_NONE: tuple[str, ...] = (
    "freq_hist_data_bar_heights",
    "freq_hist_data_bar_values",
    "logits_hist_data_bar_heights",
    "logits_hist_data_bar_values",
    "neuron_alignment_indices",
    "neuron_alignment_l1",
    "neuron_alignment_values",
    "correlated_neurons_indices",
    "correlated_neurons_l1",
    "correlated_neurons_pearson",
    "decoder_weights_dist",
    "vector",
)
"""Lists of a feature that Neuronpedia's rows have and a catalogue does not."""


@dataclass(frozen=True)
class Release:
    """What Neuronpedia is told beside the tables. All names may hold letters, digits, `-`, `_` and `.`."""

    model: str
    """The model, as in `gemma-3-4b-it`."""
    layer: int
    source_set: str
    """What the sources of all layers share, as in `saeflow-res-20k`."""
    name: str
    """The release."""
    title: str
    creator: str
    layers: int = 0
    """Layers of the model."""
    url: str = ""
    hook: str = "hook_resid_post"
    dataset: str = ""
    """Where the prompts come from."""

    @property
    def source(self) -> str:
        """`LAYER-SOURCE_SET`, Neuronpedia's name of one layer's features."""
        return f"{self.layer}-{self.source_set}"


@dataclass(frozen=True)
class Beside:
    """What is told of features beside the tables: `STATISTICS` and `PROMOTED`, and how many activations of each."""

    statistics: pl.DataFrame = field(default_factory=STATISTICS.to_frame)
    promoted: pl.DataFrame = field(default_factory=PROMOTED.to_frame)
    most: int = 45


def export_neuronpedia(
    catalogue: Path,
    out: Path,
    release: Release,
    sae_id: str,
    beside: Beside | None = None,
) -> Path:
    """Write `OUT/MODEL/SOURCE/` of one SAE: release, model, source and source set, features, activations and
    explanations in batches of 1,024 features.

    The strongest examples of each feature are activations; examples in images alone have no tokens and are left out.

    Args:
        catalogue: the folder of the published tables.
        out: where the tree begins.
        release: what Neuronpedia is told beside the tables.
        sae_id: the SAE, as the tables call it.
        beside: statistics and promoted tokens of the features.

    Returns:
        The source's folder.

    Raises:
        BadInput: a table is missing or wrong, the SAE is none of it, or the source is there already.
    """
    told = beside or Beside()
    main = read_table(catalogue / "features.parquet").filter(pl.col("sae_id") == sae_id)
    if not main.height:
        raise BadInput(f"{catalogue / 'features.parquet'}: holds no SAE {sae_id!r}; name one of its column sae_id")
    place = out / release.model / release.source
    refuse_filled(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    features = main["feature_id"].unique().sort().to_list()
    with renamed_into(place) as staged:
        for name, row in _about(release).items():
            (staged / f"{name}.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
        for number, start in enumerate(range(0, len(features), BATCH)):
            own = main.filter(pl.col("feature_id").is_in(features[start : start + BATCH]))
            examples = _strongest(catalogue, sae_id, own["feature_id"].unique().sort().to_list(), told.most)
            _write(staged / "features" / f"batch-{number}.jsonl.gz", _features(own, examples, release, told))
            _write(staged / "activations" / f"batch-{number}.jsonl.gz", _activations(examples, release))
            _write(staged / "explanations" / f"batch-{number}.jsonl.gz", _explanations(own, release))
    return place


def _about(release: Release) -> dict[str, dict[str, Any]]:
    """The rows of model, release, source set and source."""
    known = {"creatorId": release.creator, "visibility": "PUBLIC"}
    urls = [release.url] if release.url else []
    model = {"id": release.model, "displayName": release.model, "displayNameShort": release.model}
    return {
        "model": known | model | {"instruct": release.model.endswith("-it"), "layers": release.layers, "owner": ""},
        "release": known
        | {"name": release.name, "description": release.title, "descriptionShort": release.title, "urls": urls}
        | {"creatorName": release.creator, "defaultSourceSetName": release.source_set},
        "sourceset": known
        | {"modelId": release.model, "name": release.source_set, "description": release.title, "urls": urls}
        | {"creatorName": release.creator, "releaseName": release.name, "hasDashboards": True},
        "source": known
        | {"id": release.source, "modelId": release.model, "setName": release.source_set, "hasDashboards": True}
        | {"dataset": release.dataset or None, "inferenceEnabled": False},
    }


def _strongest(catalogue: Path, sae_id: str, features: list[int], most: int) -> pl.DataFrame:
    """The examples of each feature with the largest activation on a token."""
    peak = pl.col("activation_pairs").list.eval(pl.element().struct.field("activation_value").max()).list.first()
    examples = scan_table(catalogue / "activation_examples.parquet").filter(
        pl.col("feature_id").is_in(features), pl.col("sae_id") == sae_id, pl.col("num_activations") > 0
    )
    ordered = examples.with_columns(peak=peak).collect().sort("feature_id", "peak", descending=[False, True])
    return ordered.group_by("feature_id", maintain_order=True).head(most)


def _of_feature(release: Release) -> list[pl.Expr]:
    """Where a row belongs: model, source and the feature's number, as text."""
    return [
        pl.lit(release.model).alias("modelId"),
        pl.lit(release.source).alias("layer"),
        pl.col("feature_id").cast(pl.String).alias("index"),
    ]


def _features(main: pl.DataFrame, examples: pl.DataFrame, release: Release, beside: Beside) -> pl.DataFrame:
    near = pl.col("decoder_similarity").list
    rows = main.unique("feature_id", keep="first").sort("feature_id")
    largest = examples.group_by("feature_id").agg(maxActApprox=pl.col("peak").max())
    density = beside.statistics.select(feature_id="feature", frac_nonzero="density")
    for other in (largest, density, *(_promoted(beside.promoted, *names) for names in _DIRECTIONS)):
        rows = rows.join(other.cast({"feature_id": pl.Int64}), on="feature_id", how="left", maintain_order="left")
    return rows.select(
        *_of_feature(release),
        pl.lit(release.creator).alias("creatorId"),
        pl.lit(release.source_set).alias("sourceSetName"),
        pl.col("maxActApprox").fill_null(0.0),
        pl.col("frac_nonzero").fill_null(0.0),
        near.eval(pl.element().struct.field("feature_id")).alias("topkCosSimIndices"),
        near.eval(pl.element().struct.field("cosine_similarity")).alias("topkCosSimValues"),
        *(pl.col(name).fill_null(pl.lit([], rows[name].dtype)) for _, *pair in _DIRECTIONS for name in pair),
        *(pl.lit([], pl.List(pl.Float32)).alias(name) for name in _NONE),
        pl.lit(f"blocks.{release.layer}.{release.hook}").alias("hookName"),
        pl.lit(value=False).alias("hasVector"),
        pl.lit(None, pl.String).alias("vectorLabel"),
        pl.lit(None, pl.Float32).alias("vectorDefaultSteerStrength"),
    )


_DIRECTIONS = (("promoted", "pos_str", "pos_values"), ("suppressed", "neg_str", "neg_values"))


def _promoted(promoted: pl.DataFrame, direction: str, words: str, values: str) -> pl.DataFrame:
    strongest = promoted.filter(pl.col("direction") == direction, pl.col("rank") <= _TOKENS).sort("feature", "rank")
    lists = strongest.group_by("feature", maintain_order=True).agg(
        pl.col("token").alias(words), pl.col("score").alias(values)
    )
    return lists.rename({"feature": "feature_id"})


def _activations(examples: pl.DataFrame, release: Release) -> pl.DataFrame:
    rows = examples.with_columns(dense_values(examples).alias("values"))
    number = pl.concat_str(pl.col("feature_id").cast(pl.String), pl.lit("-"), pl.col("prompt_id").cast(pl.String))
    return rows.select(
        pl.concat_str(pl.lit(f"{release.model}-{release.source}-"), number).alias("id"),
        *_of_feature(release),
        pl.lit(release.creator).alias("creatorId"),
        pl.lit(release.dataset or None, pl.String).alias("dataSource"),
        pl.col("prompt_tokens").alias("tokens"),
        "values",
        pl.col("values").list.max().alias("maxValue"),
        pl.col("values").list.arg_max().alias("maxValueTokenIndex"),
        pl.col("values").list.min().alias("minValue"),
        pl.lit([], pl.List(pl.Float32)).alias("dfaValues"),
        *(pl.lit(None, pl.Float32).alias(name) for name in ("dfaMaxValue", "binMin", "binMax", "binContains")),
        pl.lit(None, pl.Int64).alias("dfaTargetIndex"),
    )


def _explanations(main: pl.DataFrame, release: Release) -> pl.DataFrame:
    rows = main.filter(pl.col("explanation_text").is_not_null()).sort("feature_id", maintain_order=True)
    place = pl.int_range(pl.len()).over("feature_id").cast(pl.String)
    number = pl.concat_str(pl.col("feature_id").cast(pl.String), pl.lit("-"), place)
    return rows.select(
        pl.concat_str(pl.lit(f"{release.model}-{release.source}-"), number).alias("id"),
        *_of_feature(release),
        pl.lit(release.creator).alias("authorId"),
        pl.col("explanation_text").alias("description"),
        pl.lit(None, pl.String).alias("embedding"),
        pl.col("explanation_method").cast(pl.String).alias("typeName"),
        pl.col("llm_explainer").cast(pl.String).alias("explanationModelName"),
        *(pl.lit(None, pl.Float32).alias(f"umap_{name}") for name in ("x", "y", "cluster", "log_feature_sparsity")),
    )


def _write(path: Path, rows: pl.DataFrame) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 5, raw, mtime=0) as file:
        file.write(rows.write_ndjson().encode("utf-8"))
