"""The explorer under load: start, latency of 100 k activations in Arrow, mixed requests, and its memory.

    python -m benchmarks.explorer_load --folder DIR [--layers 34] [--features 20480] [--rows 100000] [--active 58]
        [--seconds 20] [--clients 2] [--requests 500]

DIR holds a synthetic workspace; it is built where it is not there (about 5 GB per 100 M entries). The server is
`saeflow explore` in a process of its own; the client is this process, with one connection per client, and shares the
cores with it. Arrow: feature 0, which fires on every row, by one connection, after one warming round. Mixed: pages of
features sorted and filtered, features, pages of activations, Arrow streams, samples' features and samples, drawn at
random over all layers and features; the first pass over the layers opens them and is told apart.
"""

import argparse
import http.client
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.synthetic_store import ROWS_A_SAMPLE, STUDY, Size, build

Ask = Callable[[random.Random], str]
START_LIMIT_S = 60


class Server:
    """The explorer as a child process."""

    def __init__(self, folder: Path) -> None:
        self.log = Path(tempfile.mkdtemp()) / "log"
        command = [sys.executable, "-m", "cli", "explore", STUDY, "--layer", "0", "--port", "0"]
        began = time.perf_counter()
        with self.log.open("wb") as output:
            shell = {**os.environ, "SAEFLOW_WORKSPACE": str(folder), "COLUMNS": "200"}
            self.child = subprocess.Popen(command, env=shell, stdout=output, stderr=output)
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", self.log.read_text())):
            if self.child.poll() is not None or time.perf_counter() - began > START_LIMIT_S:
                raise SystemExit(self.log.read_text())
            time.sleep(0.01)
        self.port = int(found[1])
        Client(self.port).get("/health")
        self.start_s = time.perf_counter() - began

    def memory_mb(self, field: str) -> float:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(10)


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, address: str) -> tuple[float, int]:
        """Seconds that it took, and bytes of the answer."""
        began = time.perf_counter()
        self.connection.request("GET", address)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{address}: {answer.status} {content[:200]!r}")
        return time.perf_counter() - began, len(content)


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


def mixed(port: int, size: Size, clients: int, seconds: float) -> dict[str, list[float]]:
    """Latencies by kind, of clients that each ask one thing after another."""
    found: dict[str, list[float]] = {kind: [] for kind in asks(size)}
    deadline = time.perf_counter() + seconds

    def ask(seed: int) -> None:
        draw, client = random.Random(seed), Client(port)
        kinds = asks(size)
        while time.perf_counter() < deadline:
            (kind,) = draw.choices(list(kinds), [weight for weight, _ in kinds.values()])
            found[kind].append(client.get(kinds[kind][1](draw))[0])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def told(name: str, latencies: list[float]) -> None:
    cuts = statistics.quantiles(latencies, n=100)
    words = f"p50 {1000 * cuts[49]:7.2f} ms   p99 {1000 * cuts[98]:7.2f} ms   max {1000 * max(latencies):7.1f} ms"
    print(f"{name:<22} {len(latencies):>6} × {words}", flush=True)


def arrow(server: Server, requests: int) -> None:
    address, client = f"/studies/{STUDY}/layers/0/activations/0/arrow", Client(server.port)
    client.get(address)
    found = [client.get(address) for _ in range(requests)]
    told("Arrow, every row", [seconds for seconds, _ in found])
    print(f"{'':<22} {found[0][1] / 1e6:.2f} MB each")


def main() -> None:
    words: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", type=Path, required=True)
    for name, value in (("layers", 34), ("features", 20480), ("rows", 100_000), ("active", 58)):
        words.add_argument(f"--{name}", type=int, default=value)
    words.add_argument("--seconds", type=float, default=20)
    words.add_argument("--clients", type=int, default=2)
    words.add_argument("--requests", type=int, default=500)
    asked = words.parse_args()
    size = Size(asked.layers, asked.features, asked.rows, asked.active)
    build(asked.folder, size)
    entries = Counter(path.name for path in asked.folder.glob("artifacts/index_features/*/csc_values.npy"))
    total = sum(path.stat().st_size for path in asked.folder.glob("artifacts/index_features/*/csc_values.npy")) // 4
    print(
        f"{entries['csc_values.npy']} layers × {size.features} features × {size.rows} rows, {total / 1e6:.1f} M entries"
    )
    print(f"cores {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
    server = Server(asked.folder)
    try:
        print(f"start {server.start_s:.2f} s, {server.memory_mb('VmRSS'):.0f} MB")
        client = Client(server.port)
        opening = [client.get(f"/studies/{STUDY}/layers/{layer}/features?sort=-max")[0] for layer in range(size.layers)]
        told("opening a layer", opening if len(opening) > 1 else opening * 2)
        print(f"memory {server.memory_mb('VmRSS'):.0f} MB with every layer open")
        arrow(server, asked.requests)
        before = server.cpu_s()
        found = mixed(server.port, size, asked.clients, asked.seconds)
        used = server.cpu_s() - before
        told(f"mixed, {asked.clients} clients", [one for own in found.values() for one in own])
        for kind, own in found.items():
            told(f"  {kind}", own)
        count = sum(map(len, found.values()))
        print(
            f"requests/s {count / asked.seconds:.0f}, server's processor time per request {1000 * used / count:.2f} ms"
        )
        parts = ", ".join(f"{name} {server.memory_mb(name):.0f} MB" for name in ("RssAnon", "RssFile", "VmHWM"))
        print(f"memory {parts} (peak)")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
