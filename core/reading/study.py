"""A study that has run in a workspace: its samples, layers, results and report."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from core.activations.tokens import captured_tokens, layer_tokens
from core.errors import BadInput
from core.features.index import FeatureIndex
from core.features.indexed_layer import IndexedLayer, open_indexed
from core.reading.made import FROZEN, LayerArtifacts
from core.reading.recorded import RecordedStudy
from core.store.artifacts import Artifact, read_json

if TYPE_CHECKING:
    from core.data.concept import Concept
    from core.features.layer_view import LayerView


@dataclass(frozen=True, repr=False)
class OpenedStudy(RecordedStudy):
    """A study as its run left it: what it is of, its samples and its layers, and what its analyses found."""

    @cached_property
    def samples(self) -> pl.DataFrame:
        """The samples that the model was run on: the columns of `core.data.sample_frame.SCHEMA`, and attributes.

        Raises:
            BadInput: they are missing or damaged.
        """
        self._check(self._made.shards)
        from core.data.samples import analysed, capture_drops, read_samples  # also how samples are made

        drops = capture_drops(map(self._path, self._made.shards))
        return analysed(read_samples(self._samples), drops)

    @cached_property
    def concept(self) -> "Concept":
        """The concept that its features are ranked by: its first, or the one that is built in.

        Raises:
            BadInput: the samples are missing or damaged.
        """
        from core.data.known_concepts import THE_CONCEPT, concepts_of

        return concepts_of(self.config, self.samples)[0] if self.config.get("concepts") else THE_CONCEPT

    @property
    def labelled(self) -> pl.DataFrame:
        """The samples with the labels of that concept, `CONCEPT_LANGUAGE`.

        Raises:
            BadInput: they are missing or damaged.
        """
        return self.concept.labelled(self.samples)

    @property
    def samples_artifact(self) -> Artifact:
        """The artefact of its samples.

        Raises:
            BadInput: it is not there.
        """
        if self._made.samples is None:
            raise self._missing("its samples are not there")
        return self._made.samples

    def picture(self, image: str) -> Path:
        """The file of a picture that column `image` of the samples names.

        Raises:
            BadInput: the samples are missing or damaged, or the name leads out of their folder.
        """
        path = (self._samples / image).resolve()
        if not path.is_relative_to(self._samples.resolve()):
            raise BadInput(f"study {self.key}: image {image!r} is none of its samples' files")
        return path

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages of its captions.

        Raises:
            BadInput: its samples are missing or damaged.
        """
        return tuple(read_json(self._samples / "summary.json")["languages"])

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that can be opened, in ascending order."""
        return tuple(self._made.layers)

    @cached_property
    def frozen(self) -> "OpenedStudy | None":
        """The study with its frozen dictionaries in place of its SAEs, and without results, for no analysis has read
        them; null where it has none (`sae.frozen: true` trains them)."""
        return None if self._made.frozen is None else replace(self, key=f"{self.key}{FROZEN}", of_frozen=True)

    def layer(self, layer: int) -> "LayerView":
        """One layer: rows stay on disk until they are asked for.

        Raises:
            BadInput: the layer is not there, or a file of it is damaged.
        """
        from core.features import opened_layer  # it loads PyTorch

        found = self.layer_artifacts(layer)
        self._check(found.all)
        parts = (found.table, found.sae, found.index, *([found.ranking] if found.ranking else []))
        folders = opened_layer.LayerFolders([self._path(shard) for shard in found.shards], *map(self._path, parts))
        studied = opened_layer.Studied(self.labelled, self.languages, self.concept)
        return opened_layer.open_layer(layer, folders, studied)

    def index(self, layer: int) -> FeatureIndex:
        """A layer's feature index alone, for which PyTorch is not loaded.

        Raises:
            BadInput: the layer is not there, or a file of the index is damaged.
        """
        return FeatureIndex.open(self._whole(self.layer_artifacts(layer).index))

    def described(self, layer: int) -> Path | None:
        """The folder of what is known of all features of a layer beside its index: `histograms.parquet`, `idf.parquet`
        and, where the model's vocabulary head reads the SAE, `influences.parquet`; null in a study from before it.

        Raises:
            BadInput: the layer is not there, or a file is damaged.
        """
        found = self.layer_artifacts(layer).described
        return None if found is None else self._whole(found)

    def ranking(self, layer: int) -> Path | None:
        """The folder of how a layer's features go with the concept; null where nothing was ranked.

        Raises:
            BadInput: the layer is not there, or a file is damaged.
        """
        found = self.layer_artifacts(layer).ranking
        return None if found is None else self._whole(found)

    def influences(self, layer: int, feature: int) -> pl.DataFrame | None:
        """The tokens that a feature promotes and suppresses, as `core.features.influence.PROMOTED` has them; null where
        no step has written them.

        Raises:
            BadInput: the layer is not there, or a file is damaged.
        """
        folder = self.described(layer)
        if folder is None or not (file := folder / "influences.parquet").is_file():
            return None
        own = pl.scan_parquet(file, glob=False).filter(pl.col("feature") == feature).collect()
        return own if own.height else None

    def indexed(self, layer: int) -> IndexedLayer:
        """One layer without its activations and its SAE: what is read of it loads no PyTorch.

        Raises:
            BadInput: the layer is not there, or a file of it is damaged.
        """
        found = self.layer_artifacts(layer)
        self._check(found.all)
        tokens = layer_tokens(self._captured(found.shards), self._path(found.table))
        return open_indexed(layer, self._path(found.index), tokens, self.ranking(layer))

    def layer_artifacts(self, layer: int) -> LayerArtifacts:
        """The artefacts that a layer is read from.

        Raises:
            BadInput: the layer is not there.
        """
        if layer in self._made.layers:
            return self._made.layers[layer]
        there = ", ".join(map(str, self.layers)) or "none"
        named = self.config.get("capture", {}).get("layers", ())
        beside = "" if named == "all" or layer in named else "; name it in capture.layers"
        raise self._missing(f"layer {layer} is not there (there are {there}){beside}")

    def sae_metrics(self) -> dict[int, dict[str, float]]:
        """What was measured of each layer's SAE, by layer.

        Raises:
            BadInput: a file is damaged.
        """
        saes = {layer: parts.sae for layer, parts in self._made.layers.items()}
        self._check(saes.values())
        return {layer: read_json(self._path(sae) / "metrics.json") for layer, sae in saes.items()}

    def sae_folder(self, layer: int) -> Path:
        """The folder of a layer's SAE.

        Raises:
            BadInput: the layer is not there, or a file of its SAE is damaged.
        """
        return self._whole(self.layer_artifacts(layer).sae)

    def sae_artifact(self, layer: int) -> Artifact | None:
        """The artefact of a layer's SAE."""
        parts = self._made.layers.get(layer)
        return parts.sae if parts else None

    @cached_property
    def _samples(self) -> Path:
        return self._whole(self.samples_artifact)

    @cached_property
    def _captured(self) -> Callable[[tuple[Artifact, ...]], pl.DataFrame]:
        """The tokens that shards hold, by the shards: most often those of every layer."""
        return cache(lambda shards: captured_tokens([self._path(shard) for shard in shards]))

    def __repr__(self) -> str:
        return f"<study {self.key}: {len(self.layers)} layers, results {', '.join(self.results) or 'none'}>"
