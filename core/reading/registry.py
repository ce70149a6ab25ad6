"""The SAEs of a study that has run, as entries of a registry."""

from core.concepts.registry import Registry, SAEEntry
from core.concepts.sae_folders import entry_of
from core.errors import BadInput
from core.reading.study import OpenedStudy


def registry_of(study: OpenedStudy) -> Registry:
    """The SAEs of a study; its model is the registry's.

    Raises:
        BadInput: it has none yet, its model is a factory's, or a file is damaged.
    """
    model = study.config["model"].get("path")
    if model is None or not study.layers:
        why = "its model is made by a factory" if model is None else "its run has made no SAE yet"
        raise BadInput(f"registry: study {study.title}: {why}; name another study or a file")
    return Registry(model=str(model), entries=tuple(entries_of(study)))


def entries_of(study: OpenedStudy) -> list[SAEEntry]:
    """An entry for each layer; L0 is the one measured on held-out rows.

    Raises:
        BadInput: a file is damaged.
    """
    metrics, site, entries = study.sae_metrics(), study.config["capture"]["site"], []
    for layer in study.layers:
        l0 = metrics[layer].get("held_out_l0") or None
        known = {"key": f"{study.title}/layer_{layer}", "layer": layer, "site": site, "l0": l0}
        entries.append(entry_of(study.sae_folder(layer), known))
    return entries
