"""What features mean: explained by several explainers, scored by several scorers, embedded, published as tables."""

from prefect import flow
from prefect.runtime import flow_run as prefect_flow_run

from core.study.catalogue import CatalogueConfig
from flows.catalogue_run import catalogue_run
from flows.failures import log_crash
from tasks.registry import STEPS


def _run_name() -> str:
    catalogue = prefect_flow_run.parameters["catalogue"]
    if not isinstance(catalogue, str):
        catalogue = catalogue["name"] if isinstance(catalogue, dict) else catalogue.title
    return f"{prefect_flow_run.flow_name} {catalogue}"


@flow(name="feature-catalogue", flow_run_name=_run_name, log_prints=False, on_crashed=[log_crash])
def feature_catalogue(
    catalogue: CatalogueConfig | str = "demo", study: str | None = None, cluster: str = "threads"
) -> str:
    """Explain the features of a study that has run, score the explanations, and publish the tables.

    Answers of chat models are kept: a run that was stopped or came to its budget goes on where it was.

    Args:
        catalogue: a catalogue's file (looked up in the working directory, then among deployments/catalogues), or its
            fields.
        study: the study in place of the catalogue's own.
        cluster: a profile of deployments/clusters: where the work runs.

    Returns:
        The reference of the tables' artefact.
    """
    with catalogue_run(catalogue, study, cluster, STEPS) as run:
        for stage, units in run.plan.stages.items():
            run.make(stage, units)
        run.publish()
        return run.plan.tables.artifact.ref
