import json
import os
import threading
import time
from pathlib import Path

import pytest

from core.progress import Stopped
from core.store.artifacts import Artifact, ArtifactStore
from tasks import lease as leases
from tasks.lease import Lease, held, lease_path, read_lease

ARTIFACT = Artifact("train_sae", "a" * 20)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


def hold(store: ArtifactStore, seconds: float, seen: list[str], name: str) -> None:
    with held(store, ARTIFACT, threading.Event(), lambda _: None):
        seen.append(f"{name} in")
        time.sleep(seconds)
        seen.append(f"{name} out")


def test_a_second_holder_waits_for_the_first(store: ArtifactStore) -> None:
    seen: list[str] = []
    threads = [threading.Thread(target=hold, args=(store, 0.3, seen, name)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.split()[1] for entry in seen] == ["in", "out", "in", "out"]
    assert not lease_path(store, ARTIFACT).exists()


def test_a_dead_holder_is_replaced_at_once_on_this_host_and_after_two_minutes_elsewhere(store: ArtifactStore) -> None:
    path = lease_path(store, ARTIFACT)
    path.parent.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    lease = Lease(os.uname().nodename, child, None, time.time())
    path.write_text(json.dumps(lease.__dict__))
    assert read_lease(path) is None, "its process is gone"
    lease.host = "another-node"
    path.write_text(json.dumps(lease.__dict__))
    assert read_lease(path) is not None
    os.utime(path, (time.time() - leases.DEAD_AFTER_S - 1,) * 2)
    assert read_lease(path) is None, "nobody has heard of it for two minutes"
    with held(store, ARTIFACT, threading.Event(), lambda _: None) as mine:
        assert mine is not None


def test_waiting_ends_when_the_run_is_stopped(store: ArtifactStore) -> None:
    stopping = threading.Event()
    with held(store, ARTIFACT, threading.Event(), lambda _: None):
        stopping.set()
        with pytest.raises(Stopped), held(store, ARTIFACT, stopping, lambda _: None):
            pass


def test_a_holder_shows_how_far_it_is(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.05)
    with held(store, ARTIFACT, threading.Event(), lambda _: None) as mine:
        assert mine is not None
        mine.done, mine.total = 3, 10
        deadline = time.monotonic() + 10
        while (seen := read_lease(lease_path(store, ARTIFACT))) is None or seen.done != 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
