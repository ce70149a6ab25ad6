"""SAE training beside SAELens, EleutherAI/sparsify and dictionary_learning: what a step costs, and what it buys.

    python benchmarks/sae_training.py speed ROWS.safetensors --features 4608 --k 32 --peers PEERS.json
    python benchmarks/sae_training.py frontier ROWS.safetensors --features 5120 --ks 8 16 32 64 --peers PEERS.json

ROWS comes from `python benchmarks/sae_rows.py`. Every peer lives in an environment of its own; PEERS.json names their
Pythons: {"saelens": "…/bin/python", "sparsify": …, "dictionary_learning": …} (`pip install torch==2.13.0` and sae-lens,
eai-sparsify, dictionary-learning; each also needs jaxtyping and pydantic). Runs are processes of their own, alternated
over rounds; figures are medians, and ratios are to saeflow. `speed` also runs every library once without the dense
products that its steps are compared with, for peak memory. With torch, numpy and safetensors alone, on a machine with
a GPU, `python benchmarks/sae_peers.py saeflow ROWS …` measures saeflow by itself.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).with_name("sae_peers.py")
# What each library has of the architectures.
KNOWN = {
    "saeflow": ("topk", "batchtopk", "matryoshka", "jumprelu", "gated", "relu"),
    "saelens": ("topk", "batchtopk", "jumprelu"),
    "sparsify": ("topk",),
    "dictionary_learning": ("topk", "batchtopk"),
}


def run(python: str, library: str, rows: Path, *options: str) -> dict[str, float]:
    """One training run in a process of its own."""
    command = [python, str(PEERS), library, str(rows), *options]
    environment = {**os.environ, "TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{library}: {done.stderr.strip()[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def speed(given: argparse.Namespace, pythons: dict[str, str]) -> None:
    """A table of rows/s, dense products per step, peak memory, FVU and dead features at equal steps."""
    shape = ["--features", str(given.features), "--k", str(given.k), "--batch", str(given.batch)]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    for _ in range(given.rounds):
        for name, python in pythons.items():
            found[name].append(run(python, name, given.rows, *shape, "--steps", str(given.steps)))
    alone = {name: run(python, name, given.rows, *shape, "--steps", "6", "--alone") for name, python in pythons.items()}
    print("| | rows/s | dense products per step | peak MB | held-out FVU | dead | time, to saeflow |")
    print("|---|---|---|---|---|---|---|")
    ours = statistics.median(one["products"] for one in found["saeflow"])
    for name, runs in found.items():
        rows, products, fvu, dead = (
            statistics.median(one[key] for one in runs) for key in ("rows_s", "products", "fvu", "dead")
        )
        peak = alone[name]["peak_mb"]
        print(
            f"| {name} | {rows:,.0f} | {products:.2f} | {peak:,.0f} | {fvu:.3f} | {dead:.1%} | {products / ours:.2f} |"
        )


def frontier(given: argparse.Namespace, pythons: dict[str, str]) -> None:
    """A line a library, architecture and k: L0 and held-out FVU at equal steps, batch and learning rate; where atoms
    were planted, mean max cosine similarity and the share found again too."""
    print("| library | architecture | k | L0 | held-out FVU | dead | MMCS | found |\n" + "|---" * 8 + "|", flush=True)
    lines: list[dict[str, str | float]] = []
    for architecture in given.architectures:
        for name in [name for name in pythons if architecture in KNOWN[name]]:
            for k in given.ks:
                shape = ["--features", str(given.features), "--k", str(k), "--batch", str(given.batch)]
                one = run(
                    pythons[name], name, given.rows, *shape, "--steps", str(given.steps), "--architecture", architecture
                )
                planted = f"{one['mmcs']:.3f} | {one['recovered']:.0%}" if "mmcs" in one else "– | –"
                figures = f"{one['l0']:.1f} | {one['fvu']:.3f} | {one['dead']:.1%} | {planted}"
                print(f"| {name} | {architecture} | {k} | {figures} |", flush=True)
                lines.append({"library": name, "architecture": architecture, "l0": one["l0"], "fvu": one["fvu"]})
    if given.png:
        given.png.write_bytes(picture(lines))


def picture(lines: list[dict[str, str | float]]) -> bytes:
    """L0 against held-out FVU, a panel an architecture that another library has too, and one of all of ours."""
    import altair as alt
    import polars as pl

    from core.figures.theme import HALF, SERIES, Figure, by_panel
    from core.figures.writers import to_png, to_spec

    table = pl.DataFrame(lines)
    libraries_of = table.group_by("architecture", maintain_order=True).agg(pl.col("library").n_unique())
    shared = [name for name, libraries in libraries_of.iter_rows() if libraries > 1]
    x = alt.X("l0:Q", title="Active features per token (L0, held out)", scale=alt.Scale(type="log", nice=False))
    y = alt.Y("fvu:Q", title="Fraction of variance unexplained", scale=alt.Scale(zero=False))
    base = alt.Chart(table).mark_line(point=True).encode(x=x, y=y)

    def coloured(field: str, domain: list[str]) -> alt.Color:
        return alt.Color(f"{field}:N", title=None, scale=alt.Scale(domain=domain, range=list(SERIES)))

    sized = base.properties(width=HALF, height=HALF)
    libraries = sized.encode(color=coloured("library", [name for name in KNOWN if name in table["library"]]))
    panels = by_panel(libraries, "architecture", {name: name for name in shared}, columns=2)
    kinds = [name for name in KNOWN["saeflow"] if name in table["architecture"]]
    ours = sized.encode(color=coloured("architecture", kinds)).transform_filter("datum.library === 'saeflow'")
    chart = alt.vconcat(panels, ours.properties(title="saeflow, all kinds")).resolve_scale(color="independent")
    return to_png(to_spec(Figure(chart, "L0 against held-out FVU at equal steps")))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "frontier"])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--peers", type=Path, help="JSON of the peers' Pythons; none measures saeflow alone")
    parser.add_argument("--features", type=int, required=True)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--ks", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--architectures", nargs="+", choices=KNOWN["saeflow"], default=list(KNOWN["saeflow"]))
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--png", type=Path, help="frontier: draw it into this file")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    peers = json.loads(given.peers.read_text(encoding="utf-8")) if given.peers else {}
    pythons = {"saeflow": sys.executable, **peers}
    (speed if given.what == "speed" else frontier)(given, pythons)


if __name__ == "__main__":
    main()
