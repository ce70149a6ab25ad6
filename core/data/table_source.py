"""Samples from a table of the user's own: streamed, checked row by row, drawn, and copied with their pictures."""

import difflib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import polars as pl

from core.data.drops import Drop, refuse_many
from core.data.images import BrokenImage, copy_image
from core.data.sample_frame import Sample, to_frame
from core.data.splits import Group, assign_splits, draw, tie
from core.data.table_checks import RowChecker
from core.data.table_rows import table_columns, table_rows, table_types
from core.errors import BadInput
from core.progress import Progress
from core.study.data import Columns, TableSource

_REPORT_EVERY = 1000


class Drawn(NamedTuple):
    """What a source gives: samples as rows of `samples.parquet`, what was dropped, and how many rows there were."""

    frame: pl.DataFrame
    drops: list[Drop]
    rows: int


def table_path(source: TableSource, base: Path) -> Path:
    """Where the table lies: its path from `base`, or its name there where `base` is already the table's folder."""
    path = base / source.path
    return path if path.exists() else base / Path(source.path).name


def check_columns(columns: Columns, path: Path) -> list[str]:
    """The table's columns, every one that the study names among them.

    Raises:
        BadInput: naming the missing column, the nearest match and the columns there are.
    """
    there = table_columns(path)
    for role in Columns.model_fields:
        name = getattr(columns, role)
        if name is None or name in there:
            continue
        near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        listed = ", ".join(there) or "none"
        raise BadInput(f"{path.name}: no column {name!r} (data.columns.{role}); {hint}the table's columns: {listed}")
    return there


def read_table(source: TableSource, base: Path, out: Path, progress: Progress) -> Drawn:
    """Make the samples of a table; pictures are copied to out/images.

    Of a table that is drawn from, only the drawn rows' pictures are opened; for a broken one another row is drawn.

    Raises:
        BadInput: the table or a column is missing, or too many rows are dropped.
    """
    path = table_path(source, base)
    checker = RowChecker(source.columns, check_columns(source.columns, path), source.max_caption_chars)
    for row in table_rows(path):
        checker.take(row)
        if row.number % _REPORT_EVERY == 0:
            progress(0, 1, {"rows_read": float(row.number)})
    wanted = min(source.num_samples or checker.rows, len(checker.samples))
    copier = _Copier(str(source.columns.image), path.parent, out, checker.samples, progress, wanted)
    drawn = draw(_groups(checker.samples), source.num_samples, source.seed, copier.admit)
    drops = checker.drops + copier.drops
    dropped = 1 - _kept(checker.drops, checker.rows) * _kept(copier.drops, copier.looked_at)
    refuse_many(drops, dropped, source.max_dropped_fraction, path.name)
    if not drawn:
        raise BadInput(f"{path.name}: no usable sample in {checker.rows} rows; the table needs at least one")
    samples = _split([copier.copied[number] for number in drawn], source)
    return Drawn(to_frame(samples, table_types(path)), sorted(drops), checker.rows)


def _kept(drops: Sequence[Drop], rows: int) -> float:
    return 1 - len(drops) / max(rows, 1)


@dataclass
class _Copier:
    """Copies the pictures of drawn samples, once each, and drops the samples whose picture is broken."""

    column: str
    folder: Path
    out: Path
    samples: Sequence[Sample]
    progress: Progress
    wanted: int
    copied: dict[int, Sample] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)
    looked_at: int = 0
    _known: dict[str, str | BrokenImage] = field(default_factory=dict)

    def admit(self, group: Group) -> list[int]:
        """The members whose picture is whole."""
        return [number for number in group.members if self._copy(number)]

    def _copy(self, number: int) -> bool:
        sample = self.samples[number]
        self.looked_at += 1
        if sample.image is None:
            self.copied[number] = sample
            return True
        if sample.image not in self._known:
            self._known[sample.image] = self._place(sample.image)
        place = self._known[sample.image]
        if isinstance(place, BrokenImage):
            self.drops.append(Drop(sample.row, sample.sample_id, self.column, f"{sample.image}: {place}"))
            return False
        self.copied[number] = replace(sample, image=place)
        self.progress(min(len(self.copied), self.wanted), max(self.wanted, 1))
        return True

    def _place(self, image: str) -> str | BrokenImage:
        try:
            return copy_image(self.folder / image, self.out)
        except BrokenImage as error:
            return error


def _groups(samples: Sequence[Sample]) -> list[Group]:
    """Samples that stay together: captions of one image, of equal pictures, of twins and of pairs."""
    groups = []
    for members in tie([_keys(sample) for sample in samples]):
        stratum = "+".join(sorted({samples[member].genders for member in members}))
        images = {samples[member].image_id for member in members}
        groups.append(Group(tuple(members), stratum, len(images)))
    return groups


def _keys(sample: Sample) -> list[Hashable]:
    keys: list[Hashable] = [("id", sample.image_id), ("sample", sample.sample_id)]
    if sample.image is not None:
        keys.append(("picture", sample.image))
    if sample.twin_id is not None:
        keys.append(("sample", sample.twin_id))
    if sample.attributes.get("pair_id") is not None:
        keys.append(("pair", str(sample.attributes["pair_id"])))
    return keys


def _split(samples: Sequence[Sample], source: TableSource) -> list[Sample]:
    """Name the splits; by now `image` is the picture's content, so that equal pictures share one."""
    there = {sample.sample_id for sample in samples}
    groups = _groups(samples)
    names = assign_splits(groups, source.splits, source.seed)
    split = {member: name for group, name in zip(groups, names) for member in group.members}
    return [
        replace(sample, split=split[number], twin_id=sample.twin_id if sample.twin_id in there else None)
        for number, sample in enumerate(samples)
    ]
