"""A unit's inputs: there, and what their manifests say, before and after its body reads them."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.progress import Stopped
from core.store.artifacts import SEEN_WITHIN_S, Artifact, DamagedArtifact
from tasks.context import Work
from tasks.job import this_job


@contextmanager
def checked_inputs(work: Work) -> Iterator[None]:
    """Wait for the unit's inputs, and hold them against their manifests before and after the block.

    Raises:
        FileNotFoundError: some are not there.
        DamagedArtifact: some hold something else, or were set aside meanwhile; also in place of what the block raises
            then.
    """
    _await(work)
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        _refuse_faulty(work, error)
        raise
    _refuse_faulty(work)


def _await(work: Work) -> None:
    store = work.context.store
    faulty = store.missing(_inputs(work), SEEN_WITHIN_S if this_job() else 0.0)
    absent = [artifact.ref for artifact in faulty if not store.path(artifact).is_dir()]
    if absent:
        raise FileNotFoundError(f"inputs are not there: {', '.join(absent)}; run again to make them")
    if faulty:
        _refuse_faulty(work)


def _refuse_faulty(work: Work, cause: Exception | None = None) -> None:
    store = work.context.store
    for artifact, faults in store.faulty(_inputs(work)).items():
        what = faults[0] if store.path(artifact).is_dir() else f"{artifact.ref}: set aside or removed"
        raise DamagedArtifact(f"an input changed during the run: {what}; run again to recompute it") from cause


def _inputs(work: Work) -> list[Artifact]:
    return [artifact for role in work.unit.inputs.values() for artifact in role]
