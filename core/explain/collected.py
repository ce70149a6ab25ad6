"""A block of features of an SAE, and what it is explained and scored from, out of the folders of a unit's inputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from core.activations.tokens import captured_tokens, layer_tokens
from core.data.known_concepts import THE_CONCEPT
from core.data.samples import analysed, capture_drops, read_samples
from core.explain.about import About
from core.explain.example_tables import read_examples
from core.explain.example_windows import windows_of_examples
from core.explain.examples import activation_examples
from core.explain.twins import one_apart, twins
from core.explain.windows import windows
from core.features.index import FeatureIndex
from core.pictures import open_picture
from core.store.artifacts import ArtifactStore
from core.store.units import Unit
from core.study.catalogue import ExampleConfig

Folders = Mapping[str, Sequence[Path]]
"""Folders by role: samples, shards, layer, index, described; or `table`, a file of examples made elsewhere."""
INFLUENCES = "influences.parquet"


def folders_of(unit: Unit, store: ArtifactStore) -> Folders:
    """Where a unit of a catalogue reads."""
    made = {role: [*map(store.path, several)] for role, several in unit.inputs.items()}
    return made | {role: [Path(file)] for role, file in unit.knobs.get("files", {}).items()}


def samples_of(folders: Folders) -> pl.DataFrame:
    """The samples that the model was run on."""
    return analysed(read_samples(folders["samples"][0]), capture_drops(folders["shards"]))


def collected(recipe: Mapping[str, Any], folders: Folders) -> tuple[Iterator[pl.DataFrame], pl.DataFrame]:
    """The examples of the features of a unit's recipe, block by block, and their windows.

    Raises:
        BadInput: there is no such feature.
    """
    features, sae_id = recipe["features"], recipe["sae_id"]
    config = ExampleConfig.model_validate(recipe["examples"])
    if "table" in folders:
        given = read_examples(folders["table"][0], sae_id, features)
        return iter([given.examples]), windows_of_examples(given.examples, config, given.prompts)
    samples, index = samples_of(folders), FeatureIndex.open(folders["index"][0])
    tokens = layer_tokens(captured_tokens(folders["shards"]), folders["layer"][0])
    shown = windows(index, tokens, samples, features, config, sae_id)
    return activation_examples(index, tokens, samples, features, sae_id), shown


def about(recipe: Mapping[str, Any], folders: Folders) -> About:
    """What is known of the features of a unit's recipe beside their examples."""
    if not folders.get("samples"):
        return About(recipe["sae_id"], recipe["features"], pl.DataFrame(), seed=recipe["seed"], draws=_draws(recipe))
    samples, folder = samples_of(folders), folders["samples"][0]
    promoted = None
    if folders.get("described"):
        known = pl.scan_parquet(folders["described"][0] / INFLUENCES, glob=False)
        promoted = known.filter(pl.col("feature").is_in(recipe["features"])).collect()
    return About(
        recipe["sae_id"],
        recipe["features"],
        samples,
        promoted,
        (lambda name: open_picture(folder / name)) if "image" in samples.columns else None,
        seed=recipe["seed"],
        draws=_draws(recipe),
    )


def _draws(recipe: Mapping[str, Any]) -> int:
    return int(recipe.get("bootstrap", 0))


def with_pairs(known: About, examples: pl.DataFrame, shown: pl.DataFrame) -> About:
    """The same with the pairs of twins that the features are scored on."""
    apart = one_apart(known.samples, THE_CONCEPT)
    return replace(known, pairs=twins(apart, examples, shown, known.samples, known.seed))
