"""One run of a feature catalogue: survey, keys, MLflow parent run, stages; closed as finished, failed or killed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.planning.catalogue import CataloguePlan
from core.planning.catalogue_survey import CatalogueSurvey
from core.store.artifacts import Artifact
from core.study.catalogue import CatalogueConfig
from flows.dispatch import Steps
from flows.frame import Named, logged, marked, open_cluster, tracked
from flows.planned_run import PlannedRun, carried_out
from flows.runtime.catalogues import check_profiles, open_catalogue, survey_opened, with_study
from flows.runtime.profiles import SlurmProfile
from flows.runtime.settings import Settings
from flows.slurm.check import ask_slurm
from tasks.context import RunContext
from tasks.tracking import flatten


@dataclass
class CatalogueRun(PlannedRun):
    """A catalogue under way."""

    plan: CataloguePlan

    def remember(self) -> None:
        """Record what the catalogue refers to, and its links."""
        self.settings.workspace.catalogues.remember(self.plan.key, self.plan.record() | self.links)

    def publish(self) -> Path:
        """Let the workspace's `catalogues` show its tables, all at once."""
        return self.settings.workspace.publish_catalogue(self.plan.name, self.plan.tables.artifact)

    @property
    def published(self) -> tuple[str, Artifact]:
        """The folder's name of its report, and the report."""
        return self.plan.config.folder, self.plan.report.artifact

    @property
    def headline(self) -> Artifact:
        """The tables."""
        return self.plan.tables.artifact

    @property
    def shown(self) -> Sequence[Path]:
        """The report, the scores over features, and what the tables are."""
        store = self.settings.workspace.store
        tables = store.path(self.headline)
        report = store.path(self.plan.report.artifact) / "report.html"
        return report, tables / "aggregates.parquet", tables / "summary.json"


@contextmanager
def catalogue_run(
    catalogue: CatalogueConfig | str, study: str | None, cluster: str, steps: Steps
) -> Iterator[CatalogueRun]:
    """Open a catalogue and its MLflow run, and close the run as what became of it; `study` is in place of its own.

    Raises:
        BadInput: the catalogue, its study, a key, the profile or the workspace is wrong; one line says what.
    """
    title = catalogue if isinstance(catalogue, str) else catalogue.title
    with marked(title) as settings:
        config = with_study(open_catalogue(catalogue), study)
        named = Named(config.folder, config.title, config.tracking.experiment)
        with logged(settings, named, cluster), _opened(settings, config, cluster, steps) as run:
            yield run


@contextmanager
def _opened(settings: Settings, config: CatalogueConfig, cluster: str, steps: Steps) -> Iterator[CatalogueRun]:
    profile = open_cluster(cluster, settings)
    seen = survey_opened(config, settings.workspace)
    missing = seen.missing(settings.workspace)
    check_profiles(config, missing)
    if isinstance(profile, SlurmProfile) and missing:
        ask_slurm(profile, settings.workspace.root)
    with tracked(settings, _named(seen), _context(settings, config)) as context:
        run = CatalogueRun(settings, profile, context, steps, seen.plan)
        with carried_out(run):
            run.remember()
            yield run


def _named(seen: CatalogueSurvey) -> Named:
    config = seen.config
    told = config.model_dump(mode="json", exclude={"profiles"})
    tags = {"saeflow.study": config.source, "saeflow.catalogue": config.name}
    return Named(config.folder, config.title, config.tracking.experiment, flatten(told), tags)


def _context(settings: Settings, config: CatalogueConfig) -> RunContext:
    return RunContext(workspace=str(settings.workspace.root), study=config.folder, data_base="", model_folder="")
