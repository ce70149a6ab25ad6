"""A caption that speaks of the other side up to its later word: the donor of what a later word reads in the caption."""

from dataclasses import replace

from core.causal.counterparts import Swap
from core.causal.pairs import MinimalPair, find_swaps
from core.features.inputs import AnalysisInputs
from core.lm.loaded import LoadedModel
from core.lm.outcomes import WordSequence, cut_after_word
from core.lm.prompts import CaptionRequest, encode_sample


def with_twin_caption(inputs: AnalysisInputs, loaded: LoadedModel, pair: MinimalPair) -> MinimalPair | None:
    """A pair that asks for a caption's second word, behind the twin's image and with the other side's first word.

    Null where the words are tokenised apart, so that the two pairs do not ask for the same.
    """
    samples = {row["sample_id"]: row for row in inputs.samples.iter_rows(named=True)}
    row = samples[pair.sample_id]
    twin = samples.get(row["twin_id"]) if row.get("twin_id") else None
    first, asked, *_ = find_swaps(inputs, row, twin, pair.caption.language)
    own, other = (_word(inputs, loaded, pair, (first, replace(asked, other=text))) for text in _texts(pair, asked))
    if own is None or other is None or own.sample.ids[: own.start] != other.sample.ids[: other.start]:
        return None
    positive, negative = (own, other) if pair.sign == -1 else (other, own)
    return replace(pair, positive=positive, negative=negative)


def _texts(pair: MinimalPair, asked: Swap) -> tuple[str, str]:
    return pair.caption.caption[asked.start : asked.end], asked.other


def _word(
    inputs: AnalysisInputs, loaded: LoadedModel, pair: MinimalPair, swaps: tuple[Swap, Swap]
) -> WordSequence | None:
    first, asked = swaps
    caption, language = pair.caption.caption, pair.caption.language
    before = caption[: first.start] + first.other + caption[first.end : asked.start]
    text, instruction = before + asked.other + caption[asked.end :], inputs.instructions.get(language, "")
    request = CaptionRequest(pair.sample_id, pair.image_id, language, text, instruction, pair.twin_image)
    return cut_after_word(encode_sample(loaded, request), len(before), len(before) + len(asked.other))
