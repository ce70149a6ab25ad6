"""The SAEs of a study that a catalogue explains, with the features chosen in each."""

from collections.abc import Iterator, Mapping

from core.errors import BadInput
from core.explain.chosen import CatalogueSAE, beside, chosen_features
from core.explain.named import FROZEN
from core.reading.study import OpenedStudy
from core.store.artifacts import Artifact
from core.store.steps import INDEX_FEATURES
from core.study.catalogue import CatalogueConfig


def catalogue_saes(study: OpenedStudy, config: CatalogueConfig) -> tuple[CatalogueSAE, ...]:
    """The study's SAEs of the catalogue's layers, layer by layer, each with its frozen dictionary where it has one.

    Raises:
        BadInput: a layer is not there (of all layers: one that the study has not come to), a feature is out of range,
            or a file of the study is damaged.
    """
    if config.layers == "all" and config.features.only is None:
        _check_whole(study)
    found = tuple(one for layer in _layers(study, config) for one in _of_layer(study, config, layer))
    if not any(sae.features for sae in found):
        raise BadInput(f"features: none is chosen in {study.title}; name some in features.only")
    return found


def _check_whole(study: OpenedStudy) -> None:
    """Let a study pass whose layers are all there, its frozen dictionaries' too.

    Raises:
        BadInput: some are not there yet.
    """
    planned = [artifact for artifact in study.artifacts if artifact.step == INDEX_FEATURES.name]
    there = sum(study.workspace.store.path(artifact).is_dir() for artifact in planned)
    if there < len(planned) or not planned:
        what = f"{there} of its {len(planned)} feature indices are there"
        fix = f"run it to its end: saeflow run {study.name}; or name layers that are there"
        raise BadInput(f"layers: study {study.key}: {what}; {fix}")


def _layers(study: OpenedStudy, config: CatalogueConfig) -> tuple[int, ...]:
    layers = study.layers if config.layers == "all" else config.layers
    only = config.features.only
    if only is None:
        return layers
    beyond = next((layer for layer in only if config.layers != "all" and layer not in layers), None)
    if beyond is not None:
        raise BadInput(f"features.only: layer {beyond} is none of `layers`; add it there, or leave its features out")
    return tuple(sorted(only))


def _of_layer(study: OpenedStudy, config: CatalogueConfig, layer: int) -> Iterator[CatalogueSAE]:
    index = study.index(layer)
    features = chosen_features(index, config.features, layer, _ranked(study, layer, config))
    yield _sae(study, layer, f"{study.title}/layer_{layer}", features)
    frozen = study.frozen
    if frozen is not None and layer in frozen.layers:
        by = "frequency" if config.features.only is not None else config.features.by
        floor = beside(features, index, frozen.index(layer), by)
        yield _sae(frozen, layer, f"{study.title}/layer_{layer}{FROZEN}", floor)


def _ranked(study: OpenedStudy, layer: int, config: CatalogueConfig) -> list[int] | None:
    """The features that go most with the concept, the best first; null where they are not asked for or not ranked."""
    folder = study.ranking(layer)
    if folder is None or config.features.by != "concept" or config.features.only is not None:
        return None
    from core.features.ranking import Ranking  # it loads PyTorch

    return Ranking.load(folder, study.concept).strongest()


def _sae(study: OpenedStudy, layer: int, sae_id: str, features: tuple[int, ...]) -> CatalogueSAE:
    parts, described = study.layer_artifacts(layer), study.described(layer)
    inputs: Mapping[str, tuple[Artifact, ...]] = {
        "samples": (study.samples_artifact,),
        "shards": parts.shards,
        "layer": (parts.table,),
        "sae": (parts.sae,),
        "index": (parts.index,),
        **({"described": (parts.described,)} if parts.described is not None else {}),
    }
    promotes = described is not None and (described / "influences.parquet").is_file()
    return CatalogueSAE(sae_id, layer, features, inputs, promotes)
