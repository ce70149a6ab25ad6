"""SAEs of ours in SAELens, and SAELens' in ours: what both make of the same rows.

Needs an environment of its own (about 2 GB): `pip install torch==2.13.0 sae-lens`. Run it with that Python:

    python benchmarks/saelens_roundtrip.py [SAE_FOLDER …] [--rows ROWS.safetensors]

A SAE_FOLDER is a train_sae, choose_sae or import_sae artefact; ROWS holds `activation` [T, D], as a captured shard's
layer_17.en.safetensors does (else random rows). SAELens' own are made here, one a kind that can be read, with random
weights. Ends with an error when a reconstruction differs by more than 1e-5 of the rows' root mean square.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, which that environment does not install

from core.sae.formats import load_sae

TOLERANCE = 1e-5
MAX_ROWS = 4096
D, F = 48, 192


def compare(theirs: Any, ours: Any, x: Tensor) -> tuple[float, float]:
    """Largest difference of reconstructions and of activations."""
    with torch.no_grad():
        features = theirs.encode(x)
        rebuilt = theirs.decode(features)
        code = ours.encode(x)
        dense = torch.zeros_like(features).scatter_add_(1, code.indices, code.values)
        gap = (rebuilt - ours.decode(code)).abs().max()
    return float(gap), float((features - dense).abs().max())


def made_there() -> Iterator[tuple[str, Any]]:
    """SAELens' kinds with random weights."""
    from sae_lens import saes

    shape: dict[str, Any] = {"d_in": D, "d_sae": F, "device": "cpu"}
    yield "topk", saes.TopKSAE(saes.TopKSAEConfig(k=7, rescale_acts_by_decoder_norm=False, **shape))
    yield "topk, rescaled", saes.TopKSAE(saes.TopKSAEConfig(k=7, rescale_acts_by_decoder_norm=True, **shape))
    yield "standard", saes.StandardSAE(saes.StandardSAEConfig(**shape))
    yield "standard, input as it is", saes.StandardSAE(saes.StandardSAEConfig(apply_b_dec_to_input=False, **shape))
    yield "jumprelu", saes.JumpReLUSAE(saes.JumpReLUSAEConfig(**shape))
    yield "gated", saes.GatedSAE(saes.GatedSAEConfig(**shape))
    transcoder = saes.JumpReLUTranscoderConfig(d_out=D // 2, apply_b_dec_to_input=False, **shape)
    yield "jumprelu_transcoder", saes.JumpReLUTranscoder(transcoder)


def tell(name: str, gaps: tuple[float, float], x: Tensor) -> bool:
    """Print one comparison; whether it holds."""
    size = float(x.square().mean().sqrt())
    rebuilt, features = gaps
    print(f"{name:40} reconstruction {rebuilt:.2e} ({rebuilt / size:.1e} of the rows), features {features:.2e}")
    return rebuilt <= TOLERANCE * size


def main() -> int:
    """Compare, print, 1 where something differs."""
    from sae_lens import SAE

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--rows", type=Path)
    given = parser.parse_args()
    print(f"sae-lens {version('sae-lens')}, torch {torch.__version__}")
    good = True
    for folder in given.folders:
        ours = load_sae(folder)
        x = torch.randn(MAX_ROWS, ours.d_model, generator=torch.Generator().manual_seed(0)) + ours.b_dec.detach()
        if given.rows is not None:
            x = load_file(given.rows)["activation"][:MAX_ROWS].float()
        good &= tell(f"ours, there: {folder.name}", compare(SAE.load_from_disk(str(folder)), ours, x), x)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(MAX_ROWS, D, generator=generator)
    for name, theirs in made_there():
        with torch.no_grad(), tempfile.TemporaryDirectory() as place:
            for parameter in theirs.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
            theirs.save_model(place)
            good &= tell(f"theirs, here: {name}", compare(theirs, load_sae(Path(place)), x), x)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
