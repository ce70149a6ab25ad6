"""Activations of older scripts (`layer_checkpoints/*.pt`, .npz), rewritten as what `capture.precomputed` reads.

One matrix per layer in the precision it came in, and one table of tokens; what the files do not say, the user must.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.activations.exchange import TOKENS_FILE, Index
from core.errors import BadInput
from core.legacy.activation_parts import Part, files_of, read_parts
from core.progress import Progress, silent
from core.store.folders import refuse_filled, renamed_into
from core.study.sites import Site

_BLOCK = 1024
"""Samples copied at once."""
_DTYPES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}


@dataclass(frozen=True)
class ActivationOptions:
    """What the user states where the files do not: the language of all rows, their samples in order, whether no row of
    a [N, T, D] tensor is padding, and what was read of a layer."""

    language: str | None = None
    ids: tuple[str, ...] | None = None
    unpadded: bool = False
    site: Site | None = None


def import_activations(
    sources: Sequence[Path], out: Path, options: ActivationOptions, progress: Progress = silent
) -> Index:
    """Write the folder `out`: index.json, tokens.parquet and a .safetensors per layer; it appears when it is whole.

    Raises:
        BadInput: a file cannot be read, neither it nor the user states language, samples or padding, the two
            contradict each other, layers do not have the same rows, or `out` holds something.
        OSError: the disk is full.
    """
    refuse_filled(out)
    parts = [_completed(part, options) for path in files_of(sources) for part in read_parts(path)]
    layers = _layers(parts, options.ids)
    first = layers[min(layers)]
    tokens = _tokens(first)
    width = first[0].rows.shape[-1]
    with renamed_into(out) as folder:
        for number, (layer, own) in enumerate(sorted(layers.items())):
            _write(folder / f"layer_{layer}.safetensors", own, (len(tokens), width))
            progress(number + 1, len(layers))
        tokens.write_parquet(folder / TOKENS_FILE)
        files = {layer: f"layer_{layer}.safetensors" for layer in sorted(layers)}
        index = Index(layers=files, site=options.site, rows=len(tokens), d_model=width)
        index.write(folder)
    return index


def _completed(part: Part, options: ActivationOptions) -> Part:
    """The part with what its file leaves open, as the user states it."""
    if part.language is None and options.language is None:
        raise BadInput(f"{part.path}: neither the file nor its name says its language; pass --language en or ar")
    if None not in (part.language, options.language) and part.language != options.language:
        raise BadInput(
            f"{part.path}: its language is {part.language}, and --language is {options.language}; leave the option "
            "out, or correct the file's name and content"
        )
    if part.ids is None and options.ids is None:
        raise BadInput(f"{part.path}: nothing names the samples of its rows; pass --ids FILE")
    if part.tokens > 1 and part.mask is None and part.samples > 1 and not options.unpadded:
        raise BadInput(
            f"{part.path}: rows {list(part.rows.shape)} without a mask, so that padding looks like tokens; pass "
            "--unpadded where every sample has that many tokens"
        )
    return replace(part, language=part.language or options.language)


def _layers(parts: Sequence[Part], ids: tuple[str, ...] | None) -> dict[int, list[Part]]:
    """Each layer's parts, English before Arabic, files in the order of their numbers: all the same rows."""
    layers: dict[int, list[Part]] = {}
    for part in sorted(parts, key=lambda part: part.language != "en"):  # the order of files stays within a language
        layers.setdefault(part.layer, []).append(part)
    if ids is not None:
        layers = {layer: _named(own, ids) for layer, own in layers.items()}
    first = layers[min(layers)]
    for own in layers.values():
        _refuse_other_rows(own, first)
    return layers


def _refuse_other_rows(own: Sequence[Part], first: Sequence[Part]) -> None:
    """Make sure that a layer has the first layer's rows: of the same samples, and the same tokens of each."""
    width = first[0].rows.shape[-1]
    shapes = [(part.language, part.ids, part.tokens, part.rows.shape[-1]) for part in own]
    if shapes != [(part.language, part.ids, part.tokens, width) for part in first]:
        here, there = (
            ", ".join(f"{part.language} {list(part.rows.shape)}" for part in parts) for parts in (own, first)
        )
        raise BadInput(
            f"{own[0].path}: layer {own[0].layer} has {here}, layer {first[0].layer} {there}; all layers need the same "
            "rows"
        )
    for part, other in zip(own, first, strict=True):
        different = (_kept(part) != _kept(other)).nonzero()
        if len(different):
            sample, token = different[0].tolist()
            name = part.ids[sample] if part.ids else sample
            raise BadInput(
                f"{part.path}: layer {part.layer} and layer {other.layer} have other masks, first at token {token} of "
                f"sample {name!r} ({part.language}); all layers need the same rows"
            )


def _named(parts: Sequence[Part], ids: tuple[str, ...]) -> list[Part]:
    """The parts with the user's ids, one after the other within each language."""
    done: Counter[str | None] = Counter()
    named = []
    for part in parts:
        first = done[part.language]
        done[part.language] += part.samples
        named.append(replace(part, ids=ids[first : first + part.samples]))
    wrong = next((language for language, samples in done.items() if samples != len(ids)), None)
    if wrong is not None:
        raise BadInput(
            f"{parts[0].path}: layer {parts[0].layer} has {done[wrong]} samples ({wrong}), and --ids names {len(ids)}"
        )
    return named


def _tokens(parts: Sequence[Part]) -> pl.DataFrame:
    frames = [
        pl.DataFrame({"sample_id": part.ids})
        .with_row_index("place")
        .join(pl.DataFrame({"position": range(part.tokens)}), how="cross", maintain_order="left_right")
        .filter(pl.Series(_kept(part).reshape(-1).numpy()))
        .select("sample_id", pl.lit(part.language).alias("language"), pl.col("position").cast(pl.UInt32))
        for part in parts
    ]
    tokens = pl.concat(frames)
    twice = tokens.filter(tokens.is_duplicated())
    if len(twice):
        sample, language, _ = twice.row(0)
        often = Counter(zip(tokens["sample_id"], tokens["language"], tokens["position"]))[twice.row(0)]
        raise BadInput(
            f"{parts[0].path}: {sample!r} ({language}) comes {often} times, so that it names no sample; pass the "
            "samples of the rows with --ids FILE"
        )
    return tokens


def _kept(part: Part) -> Bool[Tensor, "N T"]:
    return torch.ones(part.samples, part.tokens, dtype=torch.bool) if part.mask is None else part.mask.bool()


def _write(path: Path, parts: Sequence[Part], shape: tuple[int, int]) -> None:
    """One matrix `activation`, block by block: what lies on the disk is never whole in memory."""
    dtypes = {part.rows.dtype for part in parts}
    dtype = dtypes.pop() if len(dtypes) == 1 and dtypes <= set(_DTYPES) else torch.float32
    size = shape[0] * shape[1] * dtype.itemsize
    entry = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [0, size]}
    text = json.dumps({"activation": entry}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for block in _blocks(parts):
            file.write(block.to(dtype).contiguous().view(torch.uint8).numpy().data)


def _blocks(parts: Sequence[Part]) -> Iterator[Float[Tensor, "n D"]]:
    for part in parts:
        kept = _kept(part)
        for start in range(0, part.samples, _BLOCK):
            rows = part.rows[start : start + _BLOCK]
            yield rows.reshape(-1, rows.shape[-1])[kept[start : start + _BLOCK].reshape(-1)]
