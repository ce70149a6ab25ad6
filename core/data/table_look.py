"""What can be said of a table before its samples are prepared: its length, what cannot be used, what looks wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.drops import dropped_share, is_too_much
from core.data.gender_pairs import groups, pair_sizes, too_few, unknown_message, unknown_twins
from core.data.images import is_there
from core.data.sample_frame import Sample
from core.data.scripts import script_notes
from core.data.table_columns import table_path
from core.data.table_source import check_rows
from core.progress import silent
from core.study.data import TableSource


@dataclass(frozen=True)
class TableLook:
    """A table's rows, those that cannot be used by the field at fault, and how many samples it gives at most: pictures
    are looked for, and opened only when the samples are prepared."""

    rows: int
    unusable: Mapping[str, int]
    most_samples: int
    notes: Sequence[str]


def look_at_table(source: TableSource, base: Path) -> TableLook:
    """Check every row of the table, and whether its picture's file is there.

    Raises:
        BadInput: the table or a column is missing or unreadable.
    """
    path = table_path(source, base)
    checker = check_rows(source, path, silent)
    there = [
        s for s in checker.samples if s.image is None or s.image in checker.stored or is_there(path.parent / s.image)
    ]
    unusable = Counter(drop.field for drop in checker.drops)
    unusable[str(source.columns.image)] += len(checker.samples) - len(there)
    most = min(source.num_samples or len(there), len(there))
    share = dropped_share((len(checker.drops), checker.rows), (len(checker.samples) - len(there), len(checker.samples)))
    few = too_few(source, groups(there))
    notes = [*_limit_notes(source, share), *([few] if few else []), *_pair_notes(there)]
    return TableLook(checker.rows, +unusable, most, [*notes, *checker.notes, *script_notes(there, source.columns)])


def _limit_notes(source: TableSource, share: float) -> list[str]:
    if not is_too_much(share, source.max_dropped_fraction):
        return []
    return [
        f"{share:.1%} of the rows cannot be used, more than data.max_dropped_fraction = "
        f"{source.max_dropped_fraction:g} allows: preparing the samples will fail and name the rows"
    ]


def _pair_notes(samples: Sequence[Sample]) -> list[str]:
    unknown = unknown_twins(samples)
    twins = [f"twins: {unknown_message(unknown)}"] if unknown else []
    sizes = pair_sizes(samples)
    if sizes is None:
        return twins
    words = f"pairs: {sizes.two:,} of two samples, {sizes.more:,} of more, {sizes.alone:,} samples alone in theirs"
    return [words, *twins]
