"""The SAEs of a study that has run, as a registry."""

from core.concepts.registry import Registry, SAEEntry
from core.errors import BadInput
from core.reading.study import OpenedStudy
from core.sae.configs import CONFIG
from core.store.artifacts import read_json


def registry_of(study: OpenedStudy) -> Registry:
    """The SAEs of a study; its model is the registry's.

    Raises:
        BadInput: it has none yet, or its model is a factory's.
    """
    model = study.config["model"]["path"]
    if model is None or not study.layers:
        why = "its model is made by a factory" if model is None else "it has no SAE yet"
        raise BadInput(f"registry: study {study.title}: {why}; name another study or a file")
    return Registry(model=str(model), entries=tuple(_entry(study, layer) for layer in study.layers))


def _entry(study: OpenedStudy, layer: int) -> SAEEntry:
    sae = study.layer_artifacts(layer).sae
    folder = study.workspace.store.path(sae)
    metrics = study.workspace.store.manifest(sae).get("metrics", {})
    return SAEEntry(
        key=f"{study.title}/layer_{layer}",
        layer=layer,
        site=study.config["capture"]["site"],
        width=int(read_json(folder / CONFIG)["d_sae"]),
        l0=metrics.get("held_out_l0") or None,
        format="sae_lens",
        path=str(folder),
    )
