"""A study that has run in a workspace: its samples, layers, results and report."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from core.activations.tokens import captured_tokens, layer_tokens
from core.analysis.result import Result
from core.errors import BadInput
from core.features.index import FeatureIndex
from core.features.indexed_layer import IndexedLayer, open_indexed
from core.reading.made import FROZEN, FROZEN_DECODERS, LayerArtifacts, Made
from core.reading.results import read_estimates, read_result
from core.stats.estimate import Estimate, as_table
from core.store.artifacts import Artifact, read_json
from core.store.workspace import Workspace
from core.study.variant import title

if TYPE_CHECKING:
    from core.features.layer_view import LayerView


@dataclass(frozen=True, repr=False)
class OpenedStudy:
    """A study as its run left it. What is read is looked at first: nothing missing or damaged is read.

    `key` as in `saeflow status`; `config` nested dictionaries; `of_layer` the layer of a report on one layer; `mlflow`
    its page in MLflow; `of_frozen` says that its layers are those of `frozen`; `recorded` in seconds since 1970.
    """

    workspace: Workspace
    key: str
    config: Mapping[str, Any]
    artifacts: tuple[Artifact, ...]
    report_artifact: Artifact
    of_layer: int | None = None
    mlflow: str = ""
    of_frozen: bool = False
    recorded: float = 0

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.config["name"])

    @property
    def title(self) -> str:
        """The name, and what sets the variant apart: `demo · sae.k=32`."""
        return title({**self.config, "layer": self.of_layer}) + self.of_frozen * FROZEN_DECODERS

    @property
    def finished(self) -> bool:
        """Whether its report is there, which is made last."""
        return self._path(self.report_artifact).is_dir()

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
        from core.data.known_concepts import THE_CONCEPT
        from core.features import opened_layer  # it loads PyTorch

        found = self.layer_artifacts(layer)
        self._check(found.all)
        parts = (found.table, found.sae, found.index, *([found.ranking] if found.ranking else []))
        folders = opened_layer.LayerFolders([self._path(shard) for shard in found.shards], *map(self._path, parts))
        studied = opened_layer.Studied(self.samples, self.languages, THE_CONCEPT)
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

    @property
    def results(self) -> tuple[str, ...]:
        """The analyses whose results are there."""
        return tuple(sorted(self._made.analyses))

    def result(self, analysis: str) -> Result:
        """What an analysis found: estimates, metrics, tables by name, notes.

        Raises:
            BadInput: there is no such result, or a file of it is damaged.
        """
        found = self._made.analyses.get(analysis)
        if found is None:
            near = difflib.get_close_matches(analysis, self.results, n=1)
            there = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.results) or 'none'}"
            raise self._missing(f"no result of {analysis!r} is there ({there})")
        return read_result(self._whole(found))

    def found(self) -> dict[str, tuple[Estimate, ...]]:
        """The estimates of each analysis whose result is there.

        Raises:
            BadInput: a file is damaged.
        """
        self._check(self._made.analyses.values())
        return {name: read_estimates(self._path(made)) for name, made in sorted(self._made.analyses.items())}

    def estimates(self) -> pl.DataFrame:
        """The estimates of all analyses, one row each: `analysis`, the columns of `core.stats.estimate.as_table`, and
        the `artifact` that holds its table.

        Raises:
            BadInput: a file is damaged.
        """
        tables = [_of_analysis(name, found, self._made.analyses[name].ref) for name, found in self.found().items()]
        return pl.concat([_of_analysis("", (), ""), *tables])

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

    @property
    def report(self) -> Path:
        """The page `report.html`.

        Raises:
            BadInput: it is missing or damaged.
        """
        if not self.finished:
            raise self._missing("its report is not there")
        return self._whole(self.report_artifact) / "report.html"

    @cached_property
    def _made(self) -> Made:
        made = Made.find(self.workspace.store, self.artifacts)
        return made.frozen or Made() if self.of_frozen else made

    @cached_property
    def _samples(self) -> Path:
        return self._whole(self.samples_artifact)

    @cached_property
    def _captured(self) -> Callable[[tuple[Artifact, ...]], pl.DataFrame]:
        """The tokens that shards hold, by the shards: most often those of every layer."""
        return cache(lambda shards: captured_tokens([self._path(shard) for shard in shards]))

    def _whole(self, artifact: Artifact) -> Path:
        self._check([artifact])
        return self._path(artifact)

    def _path(self, artifact: Artifact) -> Path:
        return self.workspace.store.path(artifact)

    def _check(self, artifacts: Iterable[Artifact]) -> None:
        for faults in self.workspace.store.faulty(artifacts).values():
            raise BadInput(f"study {self.key}: {faults[0]}; what is damaged is made again by: saeflow run {self.name}")

    def _missing(self, what: str) -> BadInput:
        return BadInput(f"study {self.key}: {what}; what is missing is made by: saeflow run {self.name}")

    def __repr__(self) -> str:
        return f"<study {self.key}: {len(self.layers)} layers, results {', '.join(self.results) or 'none'}>"


def _of_analysis(name: str, estimates: Iterable[Estimate], artifact: str) -> pl.DataFrame:
    return as_table(estimates).select(pl.lit(name).alias("analysis"), pl.all(), pl.lit(artifact).alias("artifact"))
