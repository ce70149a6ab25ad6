"""Rows that belong together: pairs and twins of the user's own, equal pictures, equal texts."""

import re
from collections.abc import Container, Hashable, Sequence
from dataclasses import replace

from core.data.arabic import normalise
from core.data.sample_frame import Sample
from core.data.splits import Group, tie
from core.data.table_columns import PAIR, TWIN

_WORD = re.compile(r"\w+")
_OPPOSITE = {"female", "male"}


def groups(samples: Sequence[Sample]) -> list[Group]:
    """Samples that are drawn together: captions of one image, of equal pictures, of twins and of pairs."""
    ids = {sample.sample_id for sample in samples}
    return _groups(samples, [_keys(sample, ids) for sample in samples])


def split_groups(samples: Sequence[Sample]) -> list[Group]:
    """Samples that share a split: those that are drawn together, and those of equal text in all their languages."""
    ids = {sample.sample_id for sample in samples}
    return _groups(samples, [[*_keys(sample, ids), _text(sample)] for sample in samples])


def pair_up(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Make two samples of one pair and opposite genders each other's twin; say what came of pairs and twins.

    A twin that the table names holds for both; one that is no sample, or the sample itself, is taken away.
    """
    twins = {sample.sample_id: sample.twin_id for sample in samples}
    unknown = [own for own, other in twins.items() if other is not None and (other not in twins or other == own)]
    twins |= dict.fromkeys(unknown)
    for own, other in list(twins.items()):
        if other is not None and twins[other] is None:
            twins[other] = own
    named = sum(other is not None for other in twins.values())
    sets = pairs(samples)
    opposite = [two for two in sets if len(two) == 2 and _are_opposite(samples[two[0]], samples[two[1]])]
    for first, second in ([samples[place].sample_id for place in two] for two in opposite):
        if twins[first] is None and twins[second] is None:
            twins[first], twins[second] = second, first
    paired = [replace(sample, twin_id=twins[sample.sample_id]) for sample in samples]
    return paired, [*_pair_notes(sets, len(opposite)), *_twin_notes(named, len(unknown))]


def pairs(samples: Sequence[Sample]) -> list[list[int]]:
    """The samples (by number) of each pair."""
    found: dict[str, list[int]] = {}
    for number, sample in enumerate(samples):
        if sample.attributes.get(PAIR) is not None:
            found.setdefault(str(sample.attributes[PAIR]), []).append(number)
    return list(found.values())


def _pair_notes(sets: Sequence[Sequence[int]], opposite: int) -> list[str]:
    if not sets:
        return []
    twos, alone = sum(len(some) == 2 for some in sets), sum(len(some) == 1 for some in sets)
    others = len(sets) - twos - alone
    return [
        f"pairs: {opposite:,} of two samples of opposite gender are counterparts; {twos - opposite:,} of two others "
        f"and {others:,} of more than two only share a split; {alone:,} samples stand alone in theirs"
    ]


def _twin_notes(named: int, unknown: int) -> list[str]:
    if not named and not unknown:
        return []
    lost = f"; {unknown:,} {TWIN} name no other sample (they are values of data.columns.sample_id)" if unknown else ""
    return [f"twins: {named:,} samples have the twin that the table names{lost}"]


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
