"""The explorer under load: start, latency of 100 k activations in Arrow, mixed requests, memory, and zarr beside it.

    python -m benchmarks.explorer_load --folder DIR [--layers 34] [--features 20480] [--rows 100000] [--active 64]
        [--seconds 20] [--clients 2] [--requests 500]

DIR holds a synthetic workspace; it is built where it is not there (about 5 GB per 100 M entries). The server is
`saeflow explore` in a process of its own; each client is one, too, with one connection, and shares the cores with it.
Processor time is the kernel's count for a process: other work on the machine adds to it only by slowing down the cores,
which the gauge shows, a fixed loop of Python timed the same way. Start: the second one, for the first compiles. Arrow:
feature 0, which fires on every row, by one connection, after one warming round. Mixed: pages of features sorted and
filtered, features, pages of activations, Arrow streams, samples' features and samples, drawn at random over all layers
and features, after every layer was opened. Zarr: what older scripts read, the same features in this process.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.http_client import Client
from benchmarks.replaced_reads import Reads, beside, milliseconds
from benchmarks.synthetic_store import ROWS_A_SAMPLE, STUDY, Size, build
from core.reading.records import open_by_name
from core.store.workspace import Workspace

Ask = Callable[[random.Random], str]
START_LIMIT_S = 60
COMPILED = tempfile.mkdtemp(prefix="explorer-load-")


class Server:
    """The explorer as a child process."""

    def __init__(self, folder: Path) -> None:
        self.log = Path(tempfile.mkdtemp()) / "log"
        command = [sys.executable, "-m", "cli", "explore", STUDY, "--layer", "0", "--port", "0"]
        began = time.perf_counter()
        with self.log.open("wb") as output:
            shell = {**os.environ, "SAEFLOW_WORKSPACE": str(folder), "COLUMNS": "200", "PYTHONPYCACHEPREFIX": COMPILED}
            shell.pop("PYTHONDONTWRITEBYTECODE", None)
            self.child = subprocess.Popen(command, env=shell, stdout=output, stderr=output)
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", self.log.read_text())):
            if self.child.poll() is not None or time.perf_counter() - began > START_LIMIT_S:
                raise SystemExit(self.log.read_text())
            time.sleep(0.01)
        self.port = int(found[1])
        Client(self.port).get("/health")
        self.start_s, self.start_cpu_s = time.perf_counter() - began, self.cpu_s()

    def memory_mb(self, field: str) -> float:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(10)


def asks(size: Size) -> dict[str, tuple[int, Ask]]:
    """What is asked, and how often of a hundred."""

    def layer(draw: random.Random) -> str:
        return f"/studies/{STUDY}/layers/{draw.randrange(size.layers)}"

    def feature(draw: random.Random) -> int:
        return int(size.features * draw.random() ** 2)

    sorts = ("-count", "-association", "q50", "feature", "-max")
    filters = ("density>0.001", "auroc>0.9", "q<0.05", "label")
    return {
        "features": (
            15,
            lambda d: f"{layer(d)}/features?sort={d.choice(sorts)}&filter={d.choice(filters)}&page={d.randint(1, 5)}",
        ),
        "feature": (20, lambda d: f"{layer(d)}/features/{feature(d)}"),
        "activations": (25, lambda d: f"{layer(d)}/activations/{feature(d)}?sort={d.choice(('row', '-value'))}"),
        "arrow": (25, lambda d: f"{layer(d)}/activations/{feature(d)}/arrow"),
        "top": (10, lambda d: f"{layer(d)}/top?sample=s{d.randrange(size.rows // ROWS_A_SAMPLE)}"),
        "sample": (5, lambda d: f"/samples/s{d.randrange(size.rows // ROWS_A_SAMPLE)}"),
    }


class Load(NamedTuple):
    """What one client saw: latencies by kind, and the processor time that it took itself."""

    latencies: dict[str, list[float]]
    cpu_s: float


def ask(port: int, size: Size, seed: int, seconds: float) -> Load:
    """One thing after another, for so long."""
    found: dict[str, list[float]] = {kind: [] for kind in asks(size)}
    draw, client, kinds = random.Random(seed), Client(port), asks(size)
    began = time.process_time()
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        (kind,) = draw.choices(list(kinds), [weight for weight, _ in kinds.values()])
        found[kind].append(client.get(kinds[kind][1](draw)).seconds)
    return Load(found, time.process_time() - began)


def mixed(server: Server, size: Size, clients: int, seconds: float) -> None:
    with ProcessPoolExecutor(clients, get_context("spawn")) as pool:
        list(pool.map(abs, range(clients)))  # started before the clock is
        before, began = server.cpu_s(), time.perf_counter()
        loads = list(pool.map(ask, *zip(*((server.port, size, seed, seconds) for seed in range(clients)))))
        wall_s, used = time.perf_counter() - began, server.cpu_s() - before
    every = [one for load in loads for own in load.latencies.values() for one in own]
    told(f"mixed, {clients} clients", every)
    for kind in asks(size):
        told(f"  {kind}", [one for load in loads for one in load.latencies[kind]])
    own = sum(load.cpu_s for load in loads)
    count = len(every)
    print(
        f"requests/s {count / wall_s:.0f}; processor time per request: server {1000 * used / count:.2f} ms, "
        f"client {1000 * own / count:.2f} ms; together {(used + own) / wall_s:.2f} of {os.cpu_count()} cores"
    )


def told(name: str, latencies: list[float]) -> None:
    print(
        f"{name:<22} {len(latencies):>6} × {milliseconds(latencies)}   max {1000 * max(latencies):7.1f} ms", flush=True
    )


def arrow(server: Server, features: list[int], requests: int) -> Reads:
    """All rows of features of layer 0, one after another, after a warming round."""
    client = Client(server.port)
    addresses = [f"/studies/{STUDY}/layers/0/activations/{feature}/arrow" for feature in features]
    size = max(client.get(address).size for address in addresses)
    before = server.cpu_s()
    seconds = [client.get(addresses[turn % len(addresses)]).seconds for turn in range(requests)]
    told(f"Arrow, at most {size / 1e6:.2f} MB", seconds)
    return Reads(seconds, (server.cpu_s() - before) / requests)


def arrow_and_zarr(folder: Path, server: Server, size: Size, requests: int) -> None:
    """Features of layer 0 by the explorer, by its index alone, and by the layout that it replaces."""
    index, draw = open_by_name(Workspace(folder), STUDY).index(0), random.Random(1)
    drawn = [int(size.features * draw.random() ** 2) for _ in range(64)]
    for name, features in (("every row", [0]), ("64 features drawn", drawn)):
        over_http = arrow(server, features, requests)
        found = {"explorer over HTTP": over_http, **beside(index, features, requests, folder)}
        for way, reads in found.items():
            print(f"{name}: {way:<18} {milliseconds(reads.seconds)}   processor time {1000 * reads.cpu_s:.2f} ms")
        ratios = [
            f"{way} {statistics.median(found['zarr'].seconds) / statistics.median(reads.seconds):.1f} "
            f"(processor time {found['zarr'].cpu_s / reads.cpu_s:.1f})"
            for way, reads in found.items()
            if way != "zarr"
        ]
        print(f"zarr ÷ {', zarr ÷ '.join(ratios)}", flush=True)


def gauge() -> str:
    """How fast the cores are now: processor time of a fixed loop."""
    began, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    return f"gauge {1000 * (time.process_time() - began):.0f} ms, load {os.getloadavg()[0]:.1f}"


def started(folder: Path) -> Server:
    Server(folder).stop()
    server = Server(folder)
    start = f"start {server.start_s:.2f} s, {server.start_cpu_s:.2f} s of processor time"
    print(f"{start}, {server.memory_mb('VmRSS'):.0f} MB")
    return server


def opened(server: Server, size: Size) -> None:
    client = Client(server.port)
    addresses = [f"/studies/{STUDY}/layers/{layer}/features?sort=-max" for layer in range(size.layers)]
    opening = [client.get(address).seconds for address in addresses]
    told("opening a layer", opening if len(opening) > 1 else opening * 2)
    print(f"memory {server.memory_mb('VmRSS'):.0f} MB with every layer open")


def main() -> None:
    words: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", type=Path, required=True)
    for name, value in (("layers", 34), ("features", 20480), ("rows", 100_000), ("active", 64)):
        words.add_argument(f"--{name}", type=int, default=value)
    words.add_argument("--seconds", type=float, default=20)
    words.add_argument("--clients", type=int, default=2)
    words.add_argument("--requests", type=int, default=500)
    asked = words.parse_args()
    size = Size(asked.layers, asked.features, asked.rows, asked.active)
    build(asked.folder, size)
    values = list(asked.folder.glob("artifacts/index_features/*/csc_values.npy"))
    entries = sum(path.stat().st_size for path in values) / 4e6
    print(f"{len(values)} layers × {size.features} features × {size.rows} rows, {entries:.1f} M entries")
    print(f"cores {os.cpu_count()}, {gauge()}")
    server = started(asked.folder)
    try:
        opened(server, size)
        arrow_and_zarr(asked.folder, server, size, asked.requests)
        mixed(server, size, asked.clients, asked.seconds)
        parts = ", ".join(f"{name} {server.memory_mb(name):.0f} MB" for name in ("RssAnon", "RssFile", "VmHWM"))
        print(f"memory {parts} (peak); {gauge()}")
    finally:
        server.stop()
        shutil.rmtree(COMPILED)


if __name__ == "__main__":
    main()
