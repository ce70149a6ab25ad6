"""Gather a report's inputs from the artefacts that a study left."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file

from core.activations.outliers import HEALTH
from core.data.known_concepts import concepts_of
from core.data.samples import analysed, capture_drops
from core.report.model import Making, ReportInputs, UnitFacts
from core.report.sae_figures import BIN
from core.report.sections import gallery, sections
from core.sae.configs import CONFIG, SPARSITY
from core.sae.origins import USED_ON
from core.store.artifacts import Artifact, ArtifactStore, read_json
from core.store.ledger import JobCost, ledger_path, read
from core.store.steps import CAPTURE, IMPORT_ACTIVATIONS, IMPORT_SAE

_LEAST_RATE = -9.0  # SAELens writes the log10 of a feature that never fires as -10
UNKNOWN = "unknown"
ORIGIN_COLUMNS = ("trained_on_model", "trained_on_hook", "used_on_model", "used_on_hook", "differs")
METRICS = "metrics.json"
_OF_FROZEN = ("held_out_fvu", "held_out_l0", "dead_fraction")


def collect(
    store: ArtifactStore,
    study: Mapping[str, Any],
    inputs: Mapping[str, Iterable[Artifact]],
    skipped: Mapping[str, str],
    variants: Sequence[str] = (),
) -> ReportInputs:
    """Read what the units in `inputs` (roles samples, layer, sae, frozen, sweep, analyses) and those before them wrote.

    `variants` are the names of the `sweep`'s autoencoders.

    Raises:
        DamagedArtifact: a manifest or a file that every unit of its kind writes is missing.
    """
    roles = {role: list(artifacts) for role, artifacts in inputs.items()}
    samples = store.path(roles["samples"][0])
    manifests = _manifests(store, (artifact for artifacts in roles.values() for artifact in artifacts))
    layers = {artifact: int(manifests[artifact]["unit"]["recipe"]["layer"]) for artifact in _layered(roles)}
    table = pl.read_parquet(samples / "samples.parquet", glob=False)
    drops = capture_drops(_shards(store, manifests))
    concepts = concepts_of(study, table)
    for concept in concepts:
        table = concept.labelled(table)
    return ReportInputs(
        study=study,
        summary=read_json(samples / "summary.json"),
        samples=analysed(table, drops),
        dropped=pl.read_parquet(samples / "dropped.parquet", glob=False),
        sae=_quality(store, layers, roles),
        origins=_origins(store, manifests, [*roles.get("sae", []), *roles.get("sweep", [])]),
        density=_density((layers[unit], store.path(unit)) for unit in roles.get("sae", [])),
        l0=_l0((layers[unit], store.path(unit)) for unit in roles.get("sae", [])),
        sweep=_sweep(store, manifests, roles, variants),
        history=_histories(store, {layers[unit]: unit for unit in roles.get("sae", [])}),
        health=_rows((layers[unit], _health(store.path(unit))) for unit in roles.get("layer", [])),
        row_warnings=_row_warnings(store.path(unit) for unit in roles.get("layer", [])),
        capture_drops=drops,
        sections=sections(store, roles.get("analyses", []), concepts),
        gallery=gallery(store, roles.get("analyses", [])),
        images=samples if table["image"].is_not_null().any() else None,
        making=_making(manifests, ledger_path(store.root.parent, str(study["name"]))),
        skipped=skipped,
        concepts=concepts,
    )


def _origins(
    store: ArtifactStore, manifests: Mapping[Artifact, Mapping[str, Any]], saes: Iterable[Artifact]
) -> pl.DataFrame:
    """One row per autoencoder that was trained elsewhere: where, and what of the place it is used on is another."""
    records = {}
    for artifact in saes:
        if artifact.step == IMPORT_SAE.name:
            metadata = read_json(store.path(artifact) / CONFIG)["metadata"]
            here = metadata[USED_ON]
            records[artifact] = {
                "layer": int(manifests[artifact]["unit"]["recipe"]["layer"]),
                "trained_on_model": metadata["model_name"] or UNKNOWN,
                "trained_on_hook": metadata["hook_name"] or UNKNOWN,
                "used_on_model": here["model_name"],
                "used_on_hook": here["hook_name"],
                "differs": ", ".join(here["differs"]),
            }
    schema = {"layer": pl.Int64, **dict.fromkeys(ORIGIN_COLUMNS, pl.String)}
    return pl.DataFrame(list(records.values()), schema=schema).sort("layer")


def _layered(roles: Mapping[str, list[Artifact]]) -> list[Artifact]:
    return [artifact for role in ("sae", "frozen", "layer") for artifact in roles.get(role, [])]


def _quality(store: ArtifactStore, layers: Mapping[Artifact, int], roles: Mapping[str, list[Artifact]]) -> pl.DataFrame:
    """What was measured of each layer's autoencoder, and beside it of its frozen dictionary where there is one."""
    saes, frozen = (
        {layers[unit]: read_json(store.path(unit) / METRICS) for unit in roles.get(role, [])}
        for role in ("sae", "frozen")
    )
    if not frozen:
        return _rows(saes.items())
    beside = {layer: {f"frozen_{name}": found.get(name) for name in _OF_FROZEN} for layer, found in frozen.items()}
    return _rows(saes.items()).join(_rows(beside.items()), on="layer", how="left", maintain_order="left")


def _density(saes: Iterable[tuple[int, Path]]) -> pl.DataFrame:
    """How many live features of each layer fire at which rate, by bins of its logarithm."""
    parts = []
    for layer, folder in saes:
        rates = load_file(folder / SPARSITY)["sparsity"]
        low = np.floor(rates[rates > _LEAST_RATE] / BIN) * BIN
        lows, counts = np.unique(np.minimum(low, -BIN), return_counts=True)
        schema = {"layer": pl.Int64, "low": pl.Float64, "features": pl.Int64}
        parts.append(pl.DataFrame({"layer": [layer] * len(lows), "low": lows, "features": counts}, schema=schema))
    return pl.concat(parts) if parts else pl.DataFrame()


def _l0(saes: Iterable[tuple[int, Path]]) -> pl.DataFrame:
    """On how many held-out rows of each layer how many features are active, by bins of the number's logarithm."""
    low = ((pl.col("active").clip(1).log(2) / BIN).floor() * BIN).alias("low")
    parts = [
        pl.read_parquet(folder / "l0.parquet", glob=False)
        .filter(split="held_out")
        .group_by(low)
        .agg(pl.col("rows").sum().cast(pl.Int64))
        .sort("low")
        .select(pl.lit(layer).alias("layer"), "low", "rows")
        for layer, folder in saes
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


_SWEPT = ("held_out_fvu", "held_out_l0", "dead_fraction", "decoder_cosine_max")


def _sweep(
    store: ArtifactStore,
    manifests: Mapping[Artifact, Mapping[str, Any]],
    roles: Mapping[str, list[Artifact]],
    variants: Sequence[str],
) -> pl.DataFrame:
    """One row per layer and variant, where several autoencoders were trained per layer; `chosen` are those used."""
    if "sweep" not in roles:
        return pl.DataFrame()
    choice = store.path(roles["sae"][0]) / "choice.json"
    chosen = read_json(choice)["variant"] if choice.exists() else "trained"
    records = []
    for artifact, variant in zip(roles["sweep"], variants, strict=True):
        unit, metrics = manifests[artifact]["unit"], read_json(store.path(artifact) / METRICS)
        settings = unit["recipe"].get("sae") or _read_settings(store.path(artifact))
        kept = {name: settings[name] for name in ("architecture", "expansion", "k")}
        if settings.get("l1_coefficient") is not None:
            kept |= {"k": None, "l1_coefficient": settings["l1_coefficient"]}
        figures = {name: metrics.get(name) for name in _SWEPT}
        names = {"layer": int(unit["recipe"]["layer"]), "variant": variant, "chosen": variant == chosen}
        records.append({**names, **kept, **figures})
    return pl.DataFrame(records, infer_schema_length=None)


def _read_settings(folder: Path) -> Mapping[str, Any]:
    """What is known of an autoencoder that was not trained here."""
    config = read_json(folder / CONFIG)
    expansion = round(config["d_sae"] / config["d_in"])
    return {"architecture": f"{config['architecture']} (beside)", "expansion": expansion, "k": config.get("k")}


def _manifests(store: ArtifactStore, artifacts: Iterable[Artifact]) -> dict[Artifact, Mapping[str, Any]]:
    """The manifests of these artefacts and of everything they were made from."""
    found: dict[Artifact, Mapping[str, Any]] = {}
    waiting = list(artifacts)
    while waiting:
        artifact = waiting.pop(0)
        if artifact not in found:
            found[artifact] = store.manifest(artifact)
            refs = found[artifact]["unit"]["inputs"].values()
            waiting += [Artifact.from_ref(ref) for role in refs for ref in role]
    return found


def _rows(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> pl.DataFrame:
    """One row per layer; a figure that a layer lacks is null."""
    records = [{"layer": layer, **figures} for layer, figures in sorted(rows, key=lambda row: row[0])]
    return pl.DataFrame(records, infer_schema_length=None)


def _health(folder: Path) -> dict[str, Any]:
    health = read_json(folder / HEALTH)
    found = health["outliers"]
    kept = {name: health[name] for name in ("rows", "nonfinite_rows", "scale", "top_share", "gamma")}
    kept |= {"outlier_rows": found["rows"], "outlier_fraction": found["share_of_rows"]}
    kept |= {"outlier_share": found["share_of_squared_norm"]}
    kept |= {f"outliers_{kind}": count for kind, count in found["by_kind"].items()}
    return kept | {f"mean_norm_{segment}": norm for segment, norm in health["mean_norm"].items()}


def _row_warnings(layers: Iterable[Path]) -> tuple[str, ...]:
    return tuple(warning for folder in layers for warning in read_json(folder / HEALTH)["warnings"])


def _histories(store: ArtifactStore, units: Mapping[int, Artifact]) -> pl.DataFrame:
    parts = [
        pl.read_parquet(store.path(units[layer]) / "history.parquet", glob=False).with_columns(
            layer=pl.lit(layer, pl.Int64)
        )
        for layer in sorted(units)
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


def _shards(store: ArtifactStore, manifests: Mapping[Artifact, Mapping[str, Any]]) -> list[Path]:
    shards = sorted(
        (manifest["label"], artifact)
        for artifact, manifest in manifests.items()
        if artifact.step in (CAPTURE.name, IMPORT_ACTIVATIONS.name)
    )
    return [store.path(shard) for _, shard in shards]


def _making(manifests: Mapping[Artifact, Mapping[str, Any]], ledger: Path) -> Making:
    units = [_facts(artifact, manifest) for artifact, manifest in manifests.items()]
    sources = {name: content for name, content in _sources(manifests) if content}
    return Making(
        tuple(sorted(units, key=lambda unit: (unit.finished, unit.label))), tuple(read(ledger, JobCost)), sources
    )


def _sources(manifests: Mapping[Artifact, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for manifest in manifests.values():
        recipe = manifest["unit"]["recipe"]
        if manifest["unit"]["step"] == "prepare":
            yield "data", str(recipe.get("content", ""))
        if manifest["unit"]["step"] == IMPORT_ACTIVATIONS.name:
            yield "activations", str(recipe["content"])
        if manifest["unit"]["step"] == CAPTURE.name:
            yield "model weights", str(recipe.get("model", {}).get("weights", ""))


def _facts(artifact: Artifact, manifest: Mapping[str, Any]) -> UnitFacts:
    made = manifest.get("provenance", {})
    return UnitFacts(
        step=artifact.step,
        label=str(manifest.get("label", artifact.step)),
        fingerprint=artifact.fingerprint,
        wall_seconds=float(made.get("wall_seconds", 0)),
        cpu_seconds=float(made.get("cpu_seconds", 0)),
        gpu_seconds=float(made.get("gpu_seconds", 0)),
        peak_rss_mib=float(made.get("peak_rss_mib", 0)),
        host=str(made.get("host", "")),
        device=str(made.get("device", "")),
        finished=float(made.get("finished", 0)),
        revision=made.get("git", {}).get("revision"),
        dirty=made.get("git", {}).get("dirty"),
        packages=made.get("packages", {}),
    )
