"""Train one autoencoder with one library and print what it cost, as JSON: a part of benchmarks/sae_training.py.

    python benchmarks/sae_peers.py LIBRARY ROWS.safetensors --features 4608 --k 32 --batch 4096 --steps 60

LIBRARY is saeflow, saelens, sparsify or dictionary_learning; the last three are imported from the environment that this
runs in, and need no saeflow there. Every library sees the same batches in the same order, with its own initialisation,
loss for dead features, constraints and Adam, at one learning rate. Between two steps one dense encoder product of the
same shape is timed: a step's cost is told in those, which the machine's load does not move.
"""

import argparse
import json
import math
import resource
import statistics
from pathlib import Path

import torch
from sae_libraries import LIBRARIES, Clock, Coder, Given
from safetensors.torch import load_file
from torch import Tensor


@torch.no_grad()
def measure(code: Coder, given: Given) -> dict[str, float]:
    """Held-out FVU and L0, and the share of features that are silent on every training row."""
    x = given.held_out.float()
    rebuilt, features = zip(*(code(part) for part in x.split(1024)), strict=True)
    residual = (x - torch.cat(rebuilt)).square().sum()
    alive = torch.zeros(given.features, dtype=torch.bool, device=x.device)
    for part in given.train.split(1024):
        alive |= (code(part.float())[1] > 0).any(0)
    l0 = sum(float((part > 0).sum()) for part in features) / len(x)
    return {
        "fvu": float(residual / (x - x.mean(0)).square().sum()),
        "l0": l0,
        "dead": 1 - float(alive.float().mean()),
    }


@torch.no_grad()
def found_again(atoms: Tensor, decoder: Tensor) -> dict[str, float]:
    """Mean over the planted atoms of the largest cosine with a decoder row, and the share of atoms above 0.9."""
    unit = torch.nn.functional.normalize
    cosine = (unit(atoms, dim=1) @ unit(decoder.float(), dim=1).T).max(1).values
    return {"mmcs": float(cosine.mean()), "recovered": float((cosine > 0.9).float().mean())}


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--architecture", default="topk")
    parser.add_argument("--features", type=int, required=True)
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, help="Adam's step; default: 2e-4 / sqrt(F / 2^14)")
    parser.add_argument("--seed", type=int, default=0, help="of the start, not of the batches")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--alone", action="store_true", help="time no products and measure nothing: for peak memory")
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    rows = {name: tensor.to(asked.device) for name, tensor in load_file(asked.rows).items()}
    lr = asked.lr or 2e-4 / math.sqrt(asked.features / 2**14)
    shape = (asked.architecture, asked.features, asked.k, asked.batch, asked.steps, asked.device)
    given = Given(*shape, rows["train"], rows["held_out"], lr, asked.seed)
    clock = Clock(given, asked.alone)
    before = _peak(asked.device)
    code, decoder = LIBRARIES[asked.library](given, clock)
    later = slice(min(5, asked.steps // 2), None)  # the first steps warm caches up
    step, product = statistics.median(clock.steps[later]), statistics.median(clock.products[later] or [float("nan")])
    figures = {"step_s": step, "product_s": product, "products": step / product, "rows_s": given.batch / step}
    figures |= {"peak_mb": _peak(asked.device), "before_mb": before}
    figures |= {} if asked.alone else measure(code, given)
    figures |= found_again(rows["atoms"], decoder) if "atoms" in rows else {}
    print(json.dumps(figures))


def _peak(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    main()
