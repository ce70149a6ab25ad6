"""One worker per unit: a heartbeat file says who has it, since when and how far it is.

A lease avoids double work; it does not guard the result. Publishing is atomic, so that two workers that do race leave
one whole artefact.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from core.progress import Stopped
from core.store.artifacts import Artifact, ArtifactStore
from tasks.job import this_job

# A holder that has not been heard of for two minutes is dead; it is heard of every five seconds.
DEAD_AFTER_S = 120.0
HEARTBEAT_S = 5.0
POLL_S = 0.5
# A process's start is counted from the boot, whose time moves when the clock is set.
_CLOCK_MAY_DIFFER_S = 60.0


@dataclass
class Lease:
    """Who holds a unit and how far it is."""

    host: str
    pid: int
    job: str | None
    since: float
    done: int = 0
    total: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


def lease_path(store: ArtifactStore, artifact: Artifact) -> Path:
    """The artefact's heartbeat file."""
    return store.root / artifact.step / f".{artifact.fingerprint}.lease"


def read_lease(path: Path) -> Lease | None:
    """The lease at `path` if its holder lives, else null."""
    try:
        age = time.time() - path.stat().st_mtime
        lease = Lease(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if age > DEAD_AFTER_S or (lease.host == socket.gethostname() and not _alive(lease)):
        return None
    return lease


def lives(lease: Lease, path: Path) -> bool:
    """Whether the process behind a sign of life goes on: on this host it is looked at itself, so that one that was
    suspended counts as alive; on another host its last beat decides."""
    if lease.host == socket.gethostname():
        return _alive(lease)
    try:
        return time.time() - path.stat().st_mtime <= DEAD_AFTER_S
    except OSError:
        return False


def last_holder(store: ArtifactStore, artifact: Artifact) -> Lease | None:
    """Who held the unit last and left the lease behind, dead or alive."""
    try:
        return Lease(**json.loads(lease_path(store, artifact).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def forget_holder(store: ArtifactStore, artifact: Artifact, dead: Lease) -> None:
    """Remove the lease of a holder that is known to have ended, so that nobody waits for its heartbeat to go cold."""
    if last_holder(store, artifact) == dead:
        lease_path(store, artifact).unlink(missing_ok=True)


def _alive(lease: Lease) -> bool:
    """Whether the holder's process runs; a zombie does not, nor a later process that was given the same number."""
    try:
        process = psutil.Process(lease.pid)
        same = process.create_time() <= lease.since + _CLOCK_MAY_DIFFER_S
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


@contextmanager
def held(
    store: ArtifactStore, artifact: Artifact, stopping: threading.Event, wait: Callable[[Lease], None]
) -> Iterator[Lease | None]:
    """Hold the unit's lease while the block runs.

    Yields null when another holder finished the artefact while this one waited.

    Raises:
        Stopped: the run is asked to stop while it waits.
    """
    path = lease_path(store, artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    lease = own_lease()
    told = False
    while not _take(path, lease):
        if stopping.is_set():
            raise Stopped(f"{artifact.ref}: stopped while waiting for another run's lease")
        holder = read_lease(path)
        if holder is not None and not told:
            wait(holder)
            told = True
        time.sleep(POLL_S)
    try:
        if told and store.intact(artifact):
            yield None
            return
        with _beating(path, lease):
            yield lease
    finally:
        path.unlink(missing_ok=True)


def _take(path: Path, lease: Lease) -> bool:
    mine = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    _write(mine, lease)
    try:
        _bury_dead(path)
        os.link(mine, path)  # atomic; refuses a name that is taken
        return True
    except FileExistsError:
        return False
    finally:
        mine.unlink(missing_ok=True)


def _bury_dead(path: Path) -> None:
    """Take a dead holder's lease out of the way; one that came alive in between is put back."""
    if read_lease(path) is not None:
        return
    grave = path.with_name(f"{path.name}.dead-{os.getpid()}-{threading.get_ident()}")
    try:
        path.rename(grave)
        if read_lease(grave) is not None:
            os.link(grave, path)
    except (FileNotFoundError, FileExistsError):
        pass
    finally:
        grave.unlink(missing_ok=True)


def _write(path: Path, lease: Lease) -> None:
    path.write_text(json.dumps(asdict(lease)), encoding="utf-8")


def live_mark(workspace: Path, run_id: str) -> Path:
    """The heartbeat file of a study run, by its MLflow run."""
    return workspace / "live" / run_id


@contextmanager
def sign_of_life(path: Path, lease: Lease | None = None) -> Iterator[None]:
    """A heartbeat file at `path` while the block runs, by which other processes and hosts find it alive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lease = lease or own_lease()
    _write(path, lease)
    try:
        with _beating(path, lease):
            yield
    finally:
        path.unlink(missing_ok=True)


def own_lease() -> Lease:
    """A lease of this process."""
    job = this_job()  # not any SLURM job: one that the user works in has no worker of ours to lose
    return Lease(socket.gethostname(), os.getpid(), job.job_id if job else None, time.time())


@contextmanager
def _beating(path: Path, lease: Lease) -> Iterator[None]:
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(1.0 if lease.total else HEARTBEAT_S):
            try:
                temporary = path.with_name(f"{path.name}.beat-{os.getpid()}-{threading.get_ident()}")
                _write(temporary, lease)
                temporary.replace(path)
            except OSError:
                continue  # a full or slow disk must not end the work; the next beat tries again

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
