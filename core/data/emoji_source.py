"""CLDR's names of emoji in English and Arabic: woman/man minimal pairs, and the neutral variant where there is one."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

import emoji

from core.data.gender import label_caption
from core.data.sample_frame import Sample, to_frame
from core.data.splits import Group, assign_splits, draw
from core.data.table_source import Drawn
from core.progress import Progress
from core.study.data import EmojiSource

_TONE = re.compile(r"_(medium-light|medium-dark|light|medium|dark)_skin_tone(?=_|$)")
_WOMAN = re.compile(r"(?:^|_)woman(?=_|$)")
_FULLY_QUALIFIED = 2
_NOT_ONE_PERSON = ("family", "couple", "kiss", "holding_hands")


class _Name(NamedTuple):
    """One emoji with its names; `english` keeps the underscores of its key."""

    sign: str
    english: str
    arabic: str


class Trio(NamedTuple):
    """A minimal pair in one skin tone, and its neutral variant."""

    stem: str
    tone: str
    woman: _Name
    man: _Name
    person: _Name | None
    family: str
    """The stem without the direction it faces: these share a split."""
    kind: str
    """`profession` where the neutral name is a noun of its own, `activity` where it is `person …`, else `person`."""


def read_emoji(source: EmojiSource, progress: Progress) -> Drawn:
    """Draw whole trios; a family, whose names differ in skin tone and direction alone, falls into one split."""
    trios = [trio for trio in _trios() if source.skin_tones or not trio.tone]
    samples = [list(_samples(trio)) for trio in trios]
    numbers = iter(range(sum(map(len, samples))))
    groups = [Group(tuple(next(numbers) for _ in some), trio.kind) for trio, some in zip(trios, samples)]
    drawn = set(draw(groups, source.num_samples, source.seed, lambda group: group.members))
    chosen = [trio for trio, group in zip(trios, groups) if drawn.issuperset(group.members)]
    split = _split_by_family(chosen, source)
    kept = [sample for trio in chosen for sample in _samples(trio, split[trio.family])]
    progress(len(kept), len(kept))
    return Drawn(to_frame(kept, {}), [], len(kept))


def _split_by_family(trios: list[Trio], source: EmojiSource) -> Mapping[str, str]:
    families = sorted({trio.family for trio in trios})
    kinds = {trio.family: trio.kind for trio in trios}
    sizes = Counter(trio.family for trio in trios for _ in _samples(trio))
    groups = [Group((number,), kinds[family], sizes[family]) for number, family in enumerate(families)]
    return dict(zip(families, assign_splits(groups, source.splits, source.seed)))


def _samples(trio: Trio, split: str = "") -> Iterator[Sample]:
    pair_id = f"{trio.stem}.{trio.tone}" if trio.tone else trio.stem
    ids = {shown: f"{pair_id}.{shown}" for shown in ("woman", "man", "neutral")}
    twins = {"woman": ids["man"], "man": ids["woman"]}
    for shown, name in (("man", trio.man), ("neutral", trio.person), ("woman", trio.woman)):
        if name is None:
            continue
        english, arabic = name.english.replace("_", " "), name.arabic.replace("_", " ")
        attributes = {
            "pair_id": pair_id,
            "visible_gender": shown,
            "profession": trio.family,
            "kind": trio.kind,
            "skin_tone": trio.tone or None,
            "emoji": name.sign,
        }
        yield Sample(
            row=0,
            sample_id=ids[shown],
            image_id=ids[shown],
            image=None,
            caption_en=english,
            caption_ar=arabic,
            gender_en=label_caption(english, "en").gender,
            gender_ar=label_caption(arabic, "ar").gender,
            twin_id=twins.get(shown),
            split=split,
            attributes=attributes,
        )


@cache
def _trios() -> tuple[Trio, ...]:
    """Every woman that has a man of the same name, by stem and tone."""
    names = _names()
    trios = []
    for key in sorted(names):
        man = _WOMAN.sub(lambda match: match[0].replace("woman", "man"), key, count=1)
        if not _WOMAN.search(key) or man not in names or any(word in key for word in _NOT_ONE_PERSON):
            continue
        tone = _TONE.search(key)
        plain = _TONE.sub("", key)
        stem = _WOMAN.sub("", plain, count=1).strip("_")
        person, kind = _neutral(names, key, stem)
        stem = stem or "person"
        family = stem.removesuffix("_facing_right")
        trios.append(Trio(stem, tone[1] if tone else "", names[key], names[man], person, family, kind))
    return tuple(sorted(trios, key=lambda trio: (trio.stem, trio.tone)))


def _neutral(names: Mapping[str, _Name], key: str, stem: str) -> tuple[_Name | None, str]:
    """`person running` or `artist`, in the same tone, and what that says of the kind."""
    as_person = _WOMAN.sub(lambda match: match[0].replace("woman", "person"), key, count=1)
    alone = _WOMAN.sub("", key, count=1).strip("_")
    if as_person in names:
        return names[as_person], "activity" if stem else "person"
    return names.get(alone), "profession" if alone in names else "activity"


def _names() -> dict[str, _Name]:
    emoji.config.load_language("ar")
    return {
        data["en"].strip(":"): _Name(sign, data["en"].strip(":"), data["ar"].strip(":"))
        for sign, data in sorted(emoji.EMOJI_DATA.items())
        if data["status"] == _FULLY_QUALIFIED and "ar" in data
    }
