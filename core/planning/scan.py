"""Every unit of a concept scan, with its fingerprint, before any of it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from core.planning.builders.rows import convert_unit
from core.planning.scan_sources import FoundSAE, ScanSources
from core.planning.staged import StagedPlan, in_stages
from core.store.artifacts import Artifact
from core.store.steps import (
    CAPTURE_FRAGMENTS,
    ENCODE_SAE,
    EXAMINE_FEATURES,
    RANK_CONCEPT,
    READ_SENTENCES,
    REPORT_CONCEPT,
    SPLIT_SENTENCES,
)
from core.store.units import Unit
from core.study.concept_scan import ConceptScan
from core.study.sites import Site

_FAST = {"token_budget", "checkpoint_every"}
"""Fields of `fragments` that decide how fast, not what comes out."""


@dataclass(frozen=True)
class ScanRoots:
    """The units that need neither model nor SAE: the sentences, which of them are held out, and the model where it has
    to be converted first."""

    sentences: Unit
    split: Unit
    convert_model: Unit | None

    @property
    def units(self) -> tuple[Unit, ...]:
        """All of them, in order."""
        return (self.sentences, self.split, *([self.convert_model] if self.convert_model else []))


@dataclass(frozen=True)
class ScanPlan(StagedPlan):
    """Every unit of a scan; `saes` are those that are encoded, in the order of the ranking."""

    scan: ConceptScan
    saes: tuple[FoundSAE, ...]

    @property
    def key(self) -> str:
        """The concept's name and a part of its report's fingerprint."""
        return f"{self.scan.folder}-{self.report.artifact.fingerprint[:8]}"

    @property
    def ranking(self) -> Unit:
        """The unit that compares all features with the labels."""
        return self.stage(RANK_CONCEPT)[0]

    @property
    def report(self) -> Unit:
        """The last unit."""
        return self.stage(REPORT_CONCEPT)[0]

    @property
    def encoded(self) -> tuple[Unit, ...]:
        """The units of the SAEs."""
        return self.stage(ENCODE_SAE)

    def record(self) -> dict[str, Any]:
        """What the workspace remembers of the scan."""
        return {
            "scan": self.scan.model_dump(mode="json"),
            "artifacts": self.artifacts,
            "ranking": self.ranking.artifact.ref,
            "report": self.report.artifact.ref,
        }


def scan_roots(scan: ConceptScan, sources: ScanSources) -> ScanRoots:
    """The units that need no other unit's output to be named."""
    package = sources.model.package
    converted = convert_unit(package, sources.model.content) if package is not None else None
    place = str(sources.sentences)
    sentences = READ_SENTENCES.unit("", {"content": sources.sentences_content}, knobs={"sentences": place})
    recipe = {"concept": scan.model_dump(mode="json", include={"held_out", "seed"})}
    words = {"name": scan.name, "description": scan.description, "sentences": place}
    inputs = {"sentences": (sentences.artifact,)}
    return ScanRoots(sentences, SPLIT_SENTENCES.unit("", recipe, inputs, {"concept": words}), converted)


def plan_scan(scan: ConceptScan, sources: ScanSources, sentences: int, without: Mapping[str, str]) -> ScanPlan:
    """Name every unit of the scan of `sentences` sentences; `without` says of SAEs that failed why, by key."""
    roots = scan_roots(scan, sources)
    saes = tuple(sae for sae in sources.saes if sae.entry.key not in without)
    shards = _fragments(scan, sources, roots, sentences)
    encoded = tuple(_encode(scan, sources, sae, roots, shards) for sae in saes)
    left_out = dict(sorted({**sources.absent, **without}.items()))
    of_sentences = (roots.split.artifact,)
    ranked = _rank(scan, of_sentences, shards, encoded)
    output = _output(scan, sources, roots, ranked, saes)
    report = REPORT_CONCEPT.unit(
        "",
        {
            "scan": scan.model_dump(mode="json", exclude={"fragments", "strict"}),
            "left_out": left_out,
            "saes": _declared(saes),
        },
        {
            "sentences": of_sentences,
            "ranking": (ranked.artifact,),
            "output": (output.artifact,),
            "scanned": tuple(unit.artifact for unit in encoded),
            "fragments": tuple(unit.artifact for units in shards.values() for unit in units),
        },
    )
    captured = tuple(unit for units in shards.values() for unit in units)
    made = (*roots.units, *captured, *encoded, ranked, output, report)
    return ScanPlan(in_stages(made), scan, saes)


def _model(scan: ConceptScan, sources: ScanSources) -> dict[str, Any]:
    return {
        "weights": sources.model.content,
        "compute_dtype": scan.compute_dtype,
        "transformers": version("transformers"),
    }


def _fragments(
    scan: ConceptScan, sources: ScanSources, roots: ScanRoots, sentences: int
) -> dict[Site, tuple[Unit, ...]]:
    """The shards of each site that an SAE reads: its layers alone are captured."""
    config, size = scan.fragments.model_dump(mode="json", exclude=_FAST), scan.fragments.checkpoint_every
    converted = {"model": (roots.convert_model.artifact,)} if roots.convert_model else {}
    inputs = {"sentences": (roots.sentences.artifact,), **converted}
    knobs = {"token_budget": scan.fragments.token_budget}
    found: dict[Site, tuple[Unit, ...]] = {}
    for site in dict.fromkeys(sae.entry.site for sae in sources.saes):
        layers = sorted({sae.entry.layer for sae in sources.saes if sae.entry.site == site})
        recipe = {**config, "site": site, "layers": layers, "language": scan.language, "model": _model(scan, sources)}
        units = []
        for number, start in enumerate(range(0, sentences, size)):
            part = {**recipe, "sentences": [start, min(start + size, sentences)]}
            units.append(CAPTURE_FRAGMENTS.unit(f"{site}-{number:03d}", part, inputs, knobs))
        found[site] = tuple(units)
    return found


def _encode(
    scan: ConceptScan, sources: ScanSources, sae: FoundSAE, roots: ScanRoots, shards: Mapping[Site, tuple[Unit, ...]]
) -> Unit:
    recipe = {
        "entry": sae.entry.model_dump(mode="json", exclude={"path", "neuronpedia"}),
        "content": sae.content,
        "model": sources.model.content,
        "precision": scan.precision,
        **({"imported": sae.imported.content} if sae.imported else {}),
    }
    inputs = {
        "sentences": (roots.sentences.artifact,),
        "fragments": tuple(unit.artifact for unit in shards[sae.entry.site]),
    }
    knobs = {"folder": str(sae.folder), **({"imported": str(sae.imported.folder)} if sae.imported else {})}
    return ENCODE_SAE.unit(sae.entry.key, recipe, inputs, knobs)


def _declared(saes: tuple[FoundSAE, ...]) -> list[dict[str, Any]]:
    return [sae.entry.model_dump(mode="json", exclude={"path"}) for sae in saes]


def _rank(
    scan: ConceptScan,
    sentences: tuple[Artifact, ...],
    shards: Mapping[Site, tuple[Unit, ...]],
    encoded: tuple[Unit, ...],
) -> Unit:
    recipe = {"ranking": scan.ranking.model_dump(mode="json")}
    inputs = {
        "sentences": sentences,
        "scanned": tuple(unit.artifact for unit in encoded),
        "fragments": tuple(unit.artifact for units in shards.values() for unit in units),
    }
    return RANK_CONCEPT.unit("", recipe, inputs)


def _output(
    scan: ConceptScan, sources: ScanSources, roots: ScanRoots, ranked: Unit, saes: tuple[FoundSAE, ...]
) -> Unit:
    converted = {"model": (roots.convert_model.artifact,)} if roots.convert_model else {}
    inputs = {
        "sentences": (roots.split.artifact,),
        "ranking": (ranked.artifact,),
        "scanned": ranked.inputs["scanned"],
        **converted,
    }
    recipe = {
        "model": _model(scan, sources),
        "output": scan.output.model_dump(mode="json"),
        "shown": scan.shown,
        "saes": [{name: value for name, value in one.items() if name != "neuronpedia"} for one in _declared(saes)],
        "contents": {sae.entry.key: sae.content for sae in saes},
    }
    return EXAMINE_FEATURES.unit("", recipe, inputs, {"folders": {sae.entry.key: str(sae.folder) for sae in saes}})
