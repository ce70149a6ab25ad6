"""From a concept scan to its plan, as far as it can be known: what is where, what is cached, what would run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.concepts.registry import Registry
from core.planning.scan import ScanPlan, ScanRoots, plan_scan, scan_roots
from core.planning.scan_sources import ScanSources, read_scan_sources
from core.planning.survey import reader_of
from core.store.artifacts import read_json
from core.store.lineage import Look, look
from core.store.workspace import Workspace
from core.study.concept_scan import ConceptScan


@dataclass(frozen=True)
class ScanSurvey:
    """A scan seen from its workspace; `plan` is null until sentences and model are there, `without` says of SAEs that
    failed why, by key."""

    scan: ConceptScan
    sources: ScanSources
    roots: ScanRoots
    plan: ScanPlan | None
    without: Mapping[str, str] = field(default_factory=dict)

    def look(self, workspace: Workspace) -> Look:
        """What of the units that can be named is there."""
        return look(workspace.store, self.plan or self.roots.units)

    def whole(self, workspace: Workspace) -> bool:
        """Whether every artefact of the scan is there, as its manifest says."""
        return self.plan is not None and {unit.artifact for unit in self.plan} <= self.look(workspace).whole

    def again(self, workspace: Workspace, without: Mapping[str, str] | None = None) -> "ScanSurvey":
        """The scan as it can be seen now; `without` are SAEs that failed since."""
        return survey_scan(self.scan, self.sources.registry, workspace, {**self.without, **(without or {})})


def survey_scan(
    scan: ConceptScan, registry: Registry, workspace: Workspace, without: Mapping[str, str] | None = None
) -> ScanSurvey:
    """Locate and hash the sources of a scan whose places are pinned, and name every unit that can be named.

    Raises:
        BadInput: a source is missing or damaged, or a layer is out of range.
    """
    reader = reader_of(workspace)
    sources = read_scan_sources(scan, registry, reader)
    reader.memo.save()
    roots, failed = scan_roots(scan, sources), dict(without or {})
    store = workspace.store
    if sources.model.shape is None or not store.intact(roots.sentences.artifact):
        return ScanSurvey(scan, sources, roots, None, failed)
    count = int(read_json(store.path(roots.sentences.artifact) / "summary.json")["sentences"])
    return ScanSurvey(scan, sources, roots, plan_scan(scan, sources, count, failed), failed)
