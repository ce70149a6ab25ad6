"""The feature table over all layers: its first page, another order, a filter, blocks of rows, and the server's memory.

    python -m benchmarks.feature_table --folder DIR [--blocks 300]

DIR holds a synthetic workspace as `benchmarks.explorer_load` builds it, by default of 34 layers × 20,480 features. The
server is a process of its own; the client shares the cores with it. Blocks are what the page's script asks for while it
is scrolled: 100 rows each, at random places of one order.
"""

import argparse
import os
import random
from pathlib import Path
from typing import Any

from benchmarks.explorer_load import Client, Server, told
from benchmarks.synthetic_store import STUDY

PAGE = f"/s/{STUDY}-1/features"
ORDERS = ("-association", "-max", "density", "feature")
FILTERS = ("density%3E0.001", "q%3C0.05", "auroc%3E0.9,density%3E0.001")


def main() -> None:
    words: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", type=Path, required=True)
    words.add_argument("--features", type=int, default=34 * 20480)
    words.add_argument("--blocks", type=int, default=300)
    asked = words.parse_args()
    server, draw = Server(asked.folder), random.Random(0)
    try:
        client = Client(server.port)
        print(f"{asked.features:,} features; cores {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
        print(f"start {server.start_s:.2f} s, {server.memory_mb('VmRSS'):.0f} MB")
        print(f"first page, every layer read: {client.get(PAGE)[0]:.2f} s")
        told("another order", [client.get(f"{PAGE}?sort={order}&q={n}")[0] for n in (1, 2) for order in ORDERS])
        told("a filter", [client.get(f"{PAGE}?filter={one}&sort={order}")[0] for one in FILTERS for order in ORDERS])
        rows = [draw.randrange(asked.features) + 1 for _ in range(asked.blocks)]
        found = [client.get(f"{PAGE}?sort=-max&part=rows&row={row}") for row in rows]
        told("a block of rows", [seconds for seconds, _ in found])
        print(f"{'':<22} {found[0][1] / 1e3:.0f} kB each")
        parts = ", ".join(f"{name} {server.memory_mb(name):.0f} MB" for name in ("RssAnon", "RssFile", "VmHWM"))
        print(f"memory {parts} (peak)")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
