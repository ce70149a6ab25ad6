"""A worker's process ends though something in it does not."""

import os
import select
import shlex
import signal
import subprocess
import sys
import time

HANGS = """
import asyncio
from distributed import Scheduler, Worker
import tasks.worker_end
tasks.worker_end.GRACE_S = 1.0

async def never():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def main():
    async with Scheduler(port=0, dashboard=False) as scheduler:
        options = {"preload": PRELOAD, "dashboard": False}
        async with Worker(scheduler.address, **options):
            task = asyncio.create_task(never())
            await asyncio.sleep(0.1)
    print("closed", flush=True)

asyncio.run(main())
"""


def _run(preload: str, limit_s: float) -> tuple[int | None, float]:
    child = subprocess.Popen([sys.executable, "-c", HANGS.replace("PRELOAD", preload)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"closed\n"
    began = time.monotonic()
    try:
        return child.wait(limit_s), time.monotonic() - began
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return None, limit_s
    finally:
        child.stdout.close()


def test_a_closed_worker_ends_its_process() -> None:
    assert _run("[]", 4) == (None, 4)  # the trap itself
    code, taken = _run('["tasks.worker_end"]', 20)
    assert code == 0
    assert taken < 10


ORPHAN = """
import asyncio
from distributed import Scheduler, Worker
import tasks.worker_end
tasks.worker_end.GRACE_S = 1.0

async def main():
    async with Scheduler(port=0, dashboard=False) as scheduler:
        async with Worker(scheduler.address, preload=PRELOAD, dashboard=False):
            print("running", flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""


def _outlives_its_parent(preload: str, limit_s: float) -> bool:
    """Whether a worker still runs so long after the shell that started it was killed."""
    script = f"{shlex.join([sys.executable, '-c', ORPHAN.replace('PRELOAD', preload)])} & echo $!; wait"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    with shell.stdout as told:
        worker = int(told.readline())
        assert told.readline() == b"running\n"
        shell.kill()
        shell.wait()
        # The pipe closes with the last process that holds it.
        ended = bool(select.select([told], [], [], limit_s)[0])
        if not ended:
            os.kill(worker, signal.SIGKILL)
    return not ended


def test_a_worker_ends_with_what_started_it() -> None:
    assert _outlives_its_parent("[]", 4)  # the trap itself
    assert not _outlives_its_parent('["tasks.worker_end"]', 20)
