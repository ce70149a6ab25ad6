"""One concept looked for in every feature of every SAE: from labelled sentences to a ranking and its report."""

from prefect import flow
from prefect.runtime import flow_run as prefect_flow_run

from core.store.steps import stage_of
from core.study.concept_scan import ConceptScan
from flows.failures import log_crash
from flows.scan_run import ScanRun, scan_run
from tasks.registry import STEPS

_FIRST = ("sentences", "prepare", "fragments", "encode")  # made before the plan is walked


def _run_name() -> str:
    concept = prefect_flow_run.parameters["concept"]
    name = concept if isinstance(concept, str) else concept["name"] if isinstance(concept, dict) else concept.title
    return f"{prefect_flow_run.flow_name} {name}"


@flow(name="concept-scan", flow_run_name=_run_name, log_prints=False, on_crashed=[log_crash])
def concept_scan(
    concept: ConceptScan | str = "aggression",
    registry: str | None = None,
    model: str | None = None,
    cluster: str = "threads",
) -> str:
    """Run labelled sentences through the model once, encode them with every SAE, and rank all features by the concept.

    Args:
        concept: a concept's file (looked up in the working directory, then among deployments/concepts), or its fields.
        registry: the SAEs in place of the concept's own: a file of deployments/sae-registries, or `study:NAME`.
        model: the model in place of the registry's.
        cluster: a profile of deployments/clusters: where the work runs.

    Returns:
        The reference of the report's artefact.
    """
    with scan_run(concept, {"registry": registry, "model": model}, cluster, STEPS) as run:
        read_and_capture(run)
        run.encode()
        for stage, units in run.plan.stages.items():
            if stage not in _FIRST:
                run.make(stage, units)
        return run.plan.report.artifact.ref


def read_and_capture(run: ScanRun) -> None:
    """Read and split the sentences (and convert the model, where it comes as a package), then run the model once over
    them."""
    for unit in run.survey.roots.units:
        run.make(stage_of(unit.step), (unit,))
    run.make("fragments", run.plan.stages["fragments"])
