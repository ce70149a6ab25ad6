"""The whole study: from raw samples to the report."""

from prefect import flow

from core.planning.study import Study
from flows.failures import log_crash
from flows.study_run import StudyRun, study_run
from flows.titles import run_name
from tasks.registry import STEPS

_FIRST = ("prepare", "capture")  # made before the plan is walked: what follows is named by what they left


@flow(name="full-analysis", flow_run_name=run_name, log_prints=False, on_crashed=[log_crash])
def full_analysis(study: Study | str = "demo", cluster: str = "threads") -> str:
    """Prepare samples, capture activations, train one SAE per layer, run the analyses and write the report.

    Args:
        study: a study file (looked up in the working directory, then among deployments/studies), or its fields.
        cluster: a profile of deployments/clusters: where the work runs.

    Returns:
        The reference of the report's artefact.
    """
    with study_run(study, cluster, STEPS) as run:
        prepare_and_capture(run)
        for stage, units in run.plan.stages.items():  # one after the other, as far as the study takes that way
            if stage not in _FIRST:
                run.make(stage, units)
        return run.plan.report.artifact.ref


def prepare_and_capture(run: StudyRun) -> None:
    """Prepare the samples (and convert the model, where it comes as a package), then run the model once over them."""
    run.make("prepare", run.survey.roots.units)
    run.make("capture", run.plan.stage("capture"))
