"""A unit's inputs: there, and what their manifests say."""

from core.artifacts import SEEN_WITHIN_S, Artifact, DamagedArtifact
from tasks.context import Work
from tasks.job import this_job


def await_inputs(work: Work) -> None:
    """Wait for the unit's inputs, and see to it that they hold what their manifests say.

    Raises:
        FileNotFoundError: some are not there.
        DamagedArtifact: some hold something else.
    """
    absent = work.context.store.missing(_inputs(work), SEEN_WITHIN_S if this_job() else 0.0)
    if absent:
        refuse_damaged(work)
        raise FileNotFoundError(f"inputs are not there: {', '.join(artifact.ref for artifact in absent)}")


def refuse_damaged(work: Work) -> None:
    """Look whether the unit's inputs still hold what their manifests say.

    Raises:
        DamagedArtifact: some hold something else.
    """
    faulty = work.context.store.faulty(_inputs(work))
    changed = [fault for faults in faulty.values() for fault in faults if fault.changed]
    if changed:
        raise DamagedArtifact(f"an input was damaged during the run: {changed[0]}; run again to make it anew")


def _inputs(work: Work) -> list[Artifact]:
    return [artifact for role in work.unit.inputs.values() for artifact in role]
