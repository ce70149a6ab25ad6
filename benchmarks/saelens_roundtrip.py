"""Load an SAE of ours in SAELens and compare what both make of the same rows.

Needs an environment of its own (about 2 GB): `pip install torch==2.13.0 sae-lens`. Run it with that Python:

    python benchmarks/saelens_roundtrip.py SAE_FOLDER ROWS.safetensors

SAE_FOLDER is a train_sae artefact; ROWS holds `activation` [T, D], as a captured shard's layer_17.en.safetensors does.
Ends with an error when a reconstruction differs by more than 1e-5 of the rows' root mean square.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, which that environment does not install

from core.sae.formats import load_sae

TOLERANCE = 1e-5
MAX_ROWS = 4096


def compare(folder: Path, x: Tensor) -> tuple[float, float, float]:
    """Largest difference of reconstructions and of activations, and the rows' root mean square."""
    from sae_lens import SAE

    theirs = SAE.load_from_disk(str(folder))
    ours = load_sae(folder)
    with torch.no_grad():
        features = theirs.encode(x)
        rebuilt = theirs.decode(features)
        code = ours.encode(x)
        dense = torch.zeros_like(features).scatter_add_(1, code.indices, code.values)
        gap = (rebuilt - ours.decode(code)).abs().max()
    return float(gap), float((features - dense).abs().max()), float(x.square().mean().sqrt())


def main() -> int:
    folder, rows = Path(sys.argv[1]), Path(sys.argv[2])
    x = load_file(rows)["activation"][:MAX_ROWS].float()
    rebuilt, features, size = compare(folder, x)
    print(f"sae-lens {version('sae-lens')}, torch {torch.__version__}, {len(x)} rows, root mean square {size:.3g}")
    print(f"largest difference: reconstruction {rebuilt:.2e} ({rebuilt / size:.1e} of it), features {features:.2e}")
    return 0 if rebuilt <= TOLERANCE * size else 1


if __name__ == "__main__":
    sys.exit(main())
