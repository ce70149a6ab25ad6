"""Which tokens become rows, in which order, and where each row goes: settled before the model runs.

Order depends on the samples alone, never on how the model's passes are composed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from core.data.languages import LANGUAGES
from core.lm.prefix import CaptionGroup
from core.lm.prompts import EncodedSample
from core.study.model import CaptureConfig

FILES = ("shared", *LANGUAGES)
TOKENS = {
    "group": pl.String,
    "row": pl.UInt32,
    "sample_id": pl.String,
    "image_id": pl.String,
    "language": pl.String,
    "segment": pl.String,
    "position": pl.UInt32,
    "token_id": pl.UInt32,
    "token": pl.String,
    "char_start": pl.Int32,
    "char_end": pl.Int32,
    "special": pl.Boolean,
}
"""Columns of `tokens.parquet`: `row` counts within the matrix of `group`; language is null where it does not matter;
`char_start` and `char_end` are characters of the caption, null outside it; `special` rows enter no statistic. A pooled
row has its last token's position, no token id, and for `token` the whole caption, or the segment's name."""

Key = tuple[int, int | None]
"""A sequence of a shard: (group, sample within it), or (group, None) for what the group's captions share."""


@dataclass(frozen=True)
class Kept:
    """The tokens of one sequence that are kept: their places in what the sequence's pass gives (what captions share
    comes out of a pass of its own), and the row of `file` that each goes to."""

    file: str
    positions: tuple[int, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Every row of a shard, before there is any activation."""

    tokens: pl.DataFrame
    kept: dict[Key, Kept] = field(repr=False)
    counts: dict[str, int]


def lay_out(groups: Sequence[CaptionGroup], config: CaptureConfig, text_of: Callable[[int], str]) -> Layout:
    """Number the rows of a shard: shared rows first, then each language's, in the order of the groups.

    `config` says which segments are kept, and whether each is pooled into one row. Of special tokens only the last one
    before a caption is kept, the decision point, and pooling leaves it out too; `text_of` spells a token id.
    """
    counts = dict.fromkeys(FILES, 0)
    kept: dict[Key, Kept] = {}
    records: list[dict[str, Any]] = []
    for file in FILES:
        for key, sample, positions in _sequences(groups, file):
            together = _rows_of(sample, positions, config)
            chosen = [(position, row) for row, own in enumerate(together, counts[file]) for position in own]
            places = tuple(position - positions.start for position, _ in chosen)
            kept[key] = Kept(file, places, tuple(row for _, row in chosen))
            for row, own in enumerate(together, counts[file]):
                record = _record(file, row, sample, own[-1], text_of)
                records.append(record if config.pool == "none" else record | _as_whole(sample, own))
            counts[file] += len(together)
    return Layout(pl.DataFrame(records, schema=TOKENS, orient="row"), kept, counts)


def _rows_of(sample: EncodedSample, positions: range, config: CaptureConfig) -> list[list[int]]:
    """The positions that make each row."""
    chosen = [position for position in positions if _is_kept(sample, position, config.segments)]
    if config.pool == "none":
        return [[position] for position in chosen]
    segments: dict[str, list[int]] = {}
    for position in chosen:
        if not sample.special[position]:
            segments.setdefault(sample.segments[position], []).append(position)
    return [own[-1:] if config.pool == "last" else own for own in segments.values()]


def _as_whole(sample: EncodedSample, positions: Sequence[int]) -> dict[str, Any]:
    """What a pooled row says instead of its last token."""
    segment = sample.segments[positions[-1]]
    if segment != "caption":
        return {"token_id": None, "token": f"[{segment}]"}
    return {"token_id": None, "token": sample.caption, "char_start": 0, "char_end": len(sample.caption)}


def _sequences(groups: Sequence[CaptionGroup], file: str) -> Iterator[tuple[Key, EncodedSample, range]]:
    for number, group in enumerate(groups):
        if file == "shared":
            yield (number, None), group.samples[0], range(group.shared)
            continue
        for index, sample in enumerate(group.samples):
            if sample.language == file:
                yield (number, index), sample, range(group.shared, len(sample.ids))


def _is_kept(sample: EncodedSample, position: int, segments: Sequence[str]) -> bool:
    is_decision_point = position == sample.prefix_length - 1
    return sample.segments[position] in segments and (not sample.special[position] or is_decision_point)


def _record(file: str, row: int, sample: EncodedSample, position: int, text_of: Callable[[int], str]) -> dict[str, Any]:
    start, end = sample.spans[position] or (None, None)
    return {
        "group": file,
        "row": row,
        "sample_id": sample.sample_id,
        "image_id": sample.image_id,
        "language": None if file == "shared" else file,
        "segment": sample.segments[position],
        "position": position,
        "token_id": sample.ids[position],
        "token": text_of(sample.ids[position]),
        "char_start": start,
        "char_end": end,
        "special": sample.special[position],
    }
