"""Which pairs are asked for which word, and whose stream is put in place of theirs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.analysis.causal_map import Config
from core.analysis.causal_map.measures import Asked
from core.causal.maps import random_images
from core.causal.pair_positions import Words
from core.causal.pairs import Chosen, MinimalPair, choose_samples, find_pairs
from core.causal.swapped_captions import with_twin_caption
from core.features.inputs import AnalysisInputs
from core.lm.loaded import LoadedModel

FIRST, LATER = "first-gendered", "later-gendered"


def ask(inputs: AnalysisInputs, loaded: LoadedModel, config: Config) -> tuple[list[Asked], list[str]]:
    """What is measured, the first word before the later one, and notes on what is left out."""
    chosen = choose_samples(inputs, config.images)
    pictures = _others(inputs, chosen, config.donors)
    left_out, found = Counter(chosen.left_out), []
    for language in inputs.languages:
        first, reasons = find_pairs(inputs, loaded, chosen.captions, language)
        later, _ = find_pairs(inputs, loaded, chosen.captions, language, "later")
        swappable = [pair for pair in first if _is_swappable(pair) and pair.image_id in pictures]
        left_out += reasons
        left_out[f"{language}: no twin of another picture, or no other picture"] += len(first) - len(swappable)
        if swappable:
            found.append(_asked(language, FIRST, swappable, [pair.with_twin_image() for pair in swappable], pictures))
            found += _later(inputs, loaded, (language, {pair.sample_id: pair for pair in swappable}), later, pictures)
    counted = (f"{count} × {reason}" for reason, count in sorted(left_out.items()) if count)
    return found, [f"Test {inputs.counted} or captions left out: " + ("; ".join(counted) or "none") + "."]


def _later(
    inputs: AnalysisInputs,
    loaded: LoadedModel,
    first: tuple[str, Mapping[str, MinimalPair]],
    later: Sequence[MinimalPair],
    pictures: Mapping[str, Sequence[Path]],
) -> list[Asked]:
    """The pairs of the second word, whose donors have the other first word as well."""
    language, known = first
    pairs, twins, words = [], [], []
    for pair in later:
        other = with_twin_caption(inputs, loaded, pair) if pair.sample_id in known else None
        if other is not None:
            pairs.append(pair)
            twins.append(other)
            words.append(Words.later(known[pair.sample_id], pair))
    if not pairs:
        return []
    return [replace(_asked(language, LATER, pairs, twins, pictures), words=tuple(words))]


def _asked(
    language: str,
    outcome: str,
    pairs: Sequence[MinimalPair],
    twins: Sequence[MinimalPair],
    pictures: Mapping[str, Sequence[Path]],
) -> Asked:
    count = min(len(pictures[pair.image_id]) for pair in pairs)
    others = tuple(
        tuple(replace(pair, twin_image=pictures[pair.image_id][number]).with_twin_image() for pair in pairs)
        for number in range(count)
    )
    return Asked(language, outcome, tuple(pairs), tuple(map(Words.first, pairs)), tuple(twins), others)


def _others(inputs: AnalysisInputs, chosen: Chosen, count: int) -> dict[str, list[Path]]:
    """For each image other test pictures of its gender; images without any are left out."""
    if inputs.images is None:
        return {}
    folder = inputs.images
    found = random_images(inputs, chosen.rows, count)
    return {image: [folder / name for name in names] for image, names in found.items() if names}


def _is_swappable(pair: MinimalPair) -> bool:
    return pair.twin_image is not None and pair.twin_image != pair.caption.image
