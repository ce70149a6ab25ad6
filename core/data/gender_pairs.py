"""Rows that belong together: pairs and twins of the user's own, equal pictures, equal texts."""

import re
from collections.abc import Container, Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

from core.data.arabic import normalise
from core.data.sample_frame import Sample
from core.data.splits import Group, tie
from core.data.table_columns import PAIR, TWIN
from core.study.data import TableSource

_FLOAT = re.compile(r"(-?\d+)\.0+")
_WORD = re.compile(r"\w+")
_OPPOSITE = {"female", "male"}


class PairSizes(NamedTuple):
    """How many pairs have two samples, more of them, or one alone."""

    two: int
    more: int
    alone: int


def groups(samples: Sequence[Sample]) -> list[Group]:
    """Samples that are drawn together: captions of one image, of equal pictures, of twins and of pairs."""
    ids = {sample.sample_id for sample in samples}
    return _groups(samples, [_keys(sample, ids) for sample in samples])


def split_groups(samples: Sequence[Sample]) -> list[Group]:
    """Samples that share a split: those that are drawn together, and those of equal text in all their languages."""
    ids = {sample.sample_id for sample in samples}
    return _groups(samples, [[*_keys(sample, ids), _text(sample)] for sample in samples])


def too_few(source: TableSource, tied: Sequence[Group]) -> str | None:
    """What to say where fewer samples are asked for than the smallest of the groups has; null where not."""
    smallest = min((len(group.members) for group in tied), default=0)
    if source.num_samples is None or source.num_samples >= smallest:
        return None
    return (
        f"data.num_samples = {source.num_samples} is smaller than the smallest group of rows that are drawn together "
        f"(pairs, twins, captions of one picture), of {smallest} rows; ask for {smallest} at least"
    )


def integer_twins(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with `twin_id` as ids are written where it is written as a float: `1.0` for `1`."""
    ids = {sample.sample_id for sample in samples}
    return [_with_integer_twin(sample, ids) for sample in samples]


def pair_up(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Make two samples of one pair and opposite genders each other's twin; say what came of pairs and twins.

    A twin that the table names holds for both where the genders are opposite and neither has another; other twins
    share a split only, and one that is no sample, or the sample itself, is taken away.
    """
    claims = _claims(samples)
    twins: dict[str, str | None] = dict.fromkeys(sample.sample_id for sample in samples)
    by_id = {sample.sample_id: sample for sample in samples}
    partners: dict[str, set[str]] = {}
    for own, other in claims.items():
        partners.setdefault(own, set()).add(other)
        partners.setdefault(other, set()).add(own)
    for own, other in claims.items():
        if partners[own] == {other} and partners[other] == {own} and _are_opposite(by_id[own], by_id[other]):
            twins[own], twins[other] = other, own
    named = sum(other is not None for other in twins.values())
    split_only = sum(own not in twins or twins[own] is None for own in claims)
    counterparts = _make_counterparts(samples, twins)
    paired = [replace(sample, twin_id=twins[sample.sample_id]) for sample in samples]
    return paired, [*_pair_notes(samples, counterparts), *_twin_notes(named, split_only, unknown_twins(samples))]


def _make_counterparts(samples: Sequence[Sample], twins: dict[str, str | None]) -> int:
    """Enter the two of each pair in `twins` where they can be twins; how many pairs are counterparts then.

    Two of opposite gender are left as they are where the table names another twin for one of them.
    """
    opposite = [two for two in _pairs(samples) if len(two) == 2 and _are_opposite(*(samples[place] for place in two))]
    ids = [(samples[first].sample_id, samples[second].sample_id) for first, second in opposite]
    for first, second in ids:
        if twins[first] is None and twins[second] is None:
            twins[first], twins[second] = second, first
    return sum(twins[first] == second for first, second in ids)


def unknown_twins(samples: Sequence[Sample]) -> int:
    """How many samples name a twin that is no other sample."""
    return sum(sample.twin_id is not None for sample in samples) - len(_claims(samples))


def unknown_message(unknown: int) -> str:
    """What to say of twins that name nobody."""
    return f"{unknown:,} {TWIN} name no other sample (they are values of data.columns.sample_id)"


def _pairs(samples: Sequence[Sample]) -> list[list[int]]:
    """The samples (by number) of each pair."""
    found: dict[str, list[int]] = {}
    for number, sample in enumerate(samples):
        if sample.attributes.get(PAIR) is not None:
            found.setdefault(str(sample.attributes[PAIR]), []).append(number)
    return list(found.values())


def pair_sizes(samples: Sequence[Sample]) -> PairSizes | None:
    """The sizes of the pairs; null where the table has none."""
    sizes = [len(some) for some in _pairs(samples)]
    two, alone = sizes.count(2), sizes.count(1)
    return PairSizes(two, len(sizes) - two - alone, alone) if sizes else None


def _pair_notes(samples: Sequence[Sample], counterparts: int) -> list[str]:
    sizes = pair_sizes(samples)
    if sizes is None:
        return []
    return [
        f"pairs: {counterparts:,} of two samples of opposite gender are counterparts; {sizes.two - counterparts:,} of "
        f"two others and {sizes.more:,} of more than two only share a split; {sizes.alone:,} samples stand alone in "
        "theirs"
    ]


def _twin_notes(named: int, split_only: int, unknown: int) -> list[str]:
    if not named and not split_only and not unknown:
        return []
    only = f"; {split_only:,} {TWIN} only share a split: not of opposite gender, or not each other's only twin"
    lost = f"; {unknown_message(unknown)}" if unknown else ""
    return [f"twins: {named:,} samples have the twin that the table names{only if split_only else ''}{lost}"]


def _claims(samples: Sequence[Sample]) -> dict[str, str]:
    """The twin of each sample that names another sample."""
    ids = {sample.sample_id for sample in samples}
    return {
        sample.sample_id: sample.twin_id
        for sample in samples
        if sample.twin_id is not None and sample.twin_id in ids and sample.twin_id != sample.sample_id
    }


def _with_integer_twin(sample: Sample, ids: Container[str]) -> Sample:
    twin = sample.twin_id
    if twin is None or twin in ids:
        return sample
    whole = _FLOAT.fullmatch(twin)
    return replace(sample, twin_id=whole[1]) if whole is not None and whole[1] in ids else sample


def _are_opposite(one: Sample, other: Sample) -> bool:
    return _OPPOSITE in ({one.gender_en, other.gender_en}, {one.gender_ar, other.gender_ar})


def _groups(samples: Sequence[Sample], keys: Sequence[Sequence[Hashable]]) -> list[Group]:
    found = []
    for members in tie(keys):
        stratum = "+".join(sorted({samples[member].genders for member in members}))
        images = {samples[member].image_id for member in members}
        found.append(Group(tuple(members), stratum, len(images)))
    return found


def _keys(sample: Sample, ids: Container[str]) -> list[Hashable]:
    keys: list[Hashable] = [("id", sample.image_id), ("sample", sample.sample_id)]
    if sample.image is not None:
        keys.append(("picture", sample.image))
    if sample.twin_id in ids:
        keys.append(("sample", sample.twin_id))
    if sample.attributes.get(PAIR) is not None:
        keys.append((PAIR, str(sample.attributes[PAIR])))
    return keys


def _text(sample: Sample) -> Hashable:
    return ("text", *(_folded(caption) for caption in (sample.caption_en, sample.caption_ar)))


def _folded(caption: str | None) -> str | None:
    """A caption's words without case, marks and punctuation."""
    if caption is None:
        return None
    folded = normalise(caption).casefold()
    return " ".join(_WORD.findall(folded)) or folded
