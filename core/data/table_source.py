"""Samples from a table of the user's own: streamed, checked row by row, drawn, and copied with their pictures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import polars as pl

from core.data.drops import Drop, dropped_share, refuse_many
from core.data.gender import label_caption
from core.data.gender_pairs import groups, integer_twins, pair_up, split_groups, too_few
from core.data.sample_frame import Sample, to_frame
from core.data.scripts import script_notes
from core.data.splits import SPLITS, assign_splits, draw
from core.data.table_checks import RowChecker, attribute_types
from core.data.table_columns import check_columns, left_out_columns, left_out_notes, read_columns, table_path
from core.data.table_pictures import PictureCopier, Place
from core.data.table_rows import table_rows, table_types
from core.errors import BadInput
from core.progress import Progress
from core.study.data import Splits, TableSource

_REPORT_EVERY = 1000
_MOST_ASTRAY = 0.1


class Drawn(NamedTuple):
    """What a source gives: samples as rows of `samples.parquet`, what was dropped, how many rows there were, and what
    else is to be said of them."""

    frame: pl.DataFrame
    drops: list[Drop]
    rows: int
    notes: Sequence[str] = ()


def read_table(source: TableSource, base: Path, out: Path, progress: Progress) -> Drawn:
    """Make the samples of a table; pictures are copied to out/images.

    Of a table that is drawn from, only the drawn rows' pictures are opened; for a broken one another row is drawn.

    Raises:
        BadInput: the table or a column is missing, or too many rows are dropped.
    """
    path = table_path(source, base)
    checker = check_rows(source, path, progress)
    checked = [_labelled(sample) for sample in checker.samples]
    wanted = min(source.num_samples or checker.rows, len(checked))
    copier = PictureCopier(Place(path, str(source.columns.image), checker.stored), out, checked, progress, wanted)
    drawn = _draw(source, checked, copier)
    drops = checker.drops + copier.drops
    dropped = dropped_share((len(checker.drops), checker.rows), (len(copier.drops), copier.looked_at))
    refuse_many(drops, dropped, source.max_dropped_fraction, path.name)
    if not drawn:
        if message := too_few(source, groups(checked)):
            raise BadInput(f"{path.name}: {message}")
        first = f" ({min(drops).message})" if drops else ""
        raise BadInput(f"{path.name}: no usable sample in {checker.rows} rows{first}; the table needs at least one")
    samples, notes = pair_up(_split([copier.copied[number] for number in drawn], source))
    notes += [*checker.notes, *script_notes(samples, source.columns), *_split_notes(samples, source.splits)]
    frame = to_frame(samples, attribute_types(table_types(path), checker.there))
    return Drawn(frame, sorted(drops), checker.rows, notes)


def check_rows(source: TableSource, path: Path, progress: Progress) -> RowChecker:
    """Look at every row, but at no picture.

    Raises:
        BadInput: the table or a column is missing or unreadable.
    """
    types = table_types(path)
    worth = read_columns(source.columns, check_columns(source.columns, path), types)
    left_out = left_out_columns(source.columns, path, worth)
    columns = [name for name in worth if name not in left_out]
    checker = RowChecker(source.columns, columns, source.max_caption_chars, notes=left_out_notes(left_out, types))
    for row in table_rows(path, columns):
        checker.take(row)
        if row.number % _REPORT_EVERY == 0:
            progress(0, 1, {"rows_read": float(row.number)})
    checker.samples = integer_twins(checker.samples)
    return checker


def _labelled(sample: Sample) -> Sample:
    english, arabic = sample.caption_en, sample.caption_ar
    return replace(
        sample,
        gender_en=label_caption(english, "en").gender if english else None,
        gender_ar=label_caption(arabic, "ar").gender if arabic else None,
    )


def _draw(source: TableSource, samples: Sequence[Sample], copier: PictureCopier) -> list[int]:
    tied = groups(samples)
    while True:
        copier.begin()
        drawn = draw(tied, source.num_samples, source.seed, copier.admit)
        if not copier.fetch():
            copier.keep_only(drawn)
            return drawn


def _split(samples: Sequence[Sample], source: TableSource) -> list[Sample]:
    """Name the splits; by now `image` is the picture's content, so that equal pictures share one."""
    tied = split_groups(samples)
    names = assign_splits(tied, source.splits, source.seed)
    split = {member: name for group, name in zip(tied, names) for member in group.members}
    return [replace(sample, split=split[number]) for number, sample in enumerate(samples)]


def _split_notes(samples: Sequence[Sample], wanted: Splits) -> list[str]:
    """What to say where much belongs together, so that the splits are far from their shares."""
    images = {sample.image_id: sample.split for sample in samples}
    shares = {name: list(images.values()).count(name) / len(images) for name in SPLITS}
    astray = max(abs(share - getattr(wanted, name)) for name, share in shares.items())
    if astray <= max(_MOST_ASTRAY, 1.5 / len(images)):  # a few images cannot be split exactly
        return []
    listed = ", ".join(f"{name} {share:.0%} of {getattr(wanted, name):.0%}" for name, share in shares.items())
    return [f"splits: {listed}; what has equal captions or pictures, or is a pair, stays together"]
