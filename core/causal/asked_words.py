"""How likely either side's words are where a caption's first word of the concept stands, given all before it.

A caption without such a word is asked where the caption would begin, at the prompt's last position. In a study of text
only the prompt is the same for all items: there the word is asked behind the item's own text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.causal.pairs import find_swaps, request
from core.causal.runs import TOKENS, portions
from core.causal.word_sets import lexicon_of
from core.data.concept import LAST_PROMPT
from core.features.inputs import AnalysisInputs
from core.lm.batches import build_batch
from core.lm.loaded import LoadedModel
from core.lm.many_words import Spelling, extended, lay_out, many_word_log_probs, spelled, word_places
from core.lm.outcomes import WordSequence, cut_after_word, word_ends
from core.lm.patched import run_full
from core.lm.prompts import EncodedSample, UnusableText, encode_sample

AT_WORD, BEHIND = "first word", "behind the text"
"""Where a word is asked, beside `LAST_PROMPT`: in the place of the caption's own, or behind an item of text."""
FIRST, OTHER, NEUTRAL = 0, 1, 2
"""What a word tells: the concept's first side, the other one, or neither."""
ASKED = pl.Schema(
    {
        **dict.fromkeys(("sample_id", "image_id", "language", "at"), pl.String),
        **dict.fromkeys(("log_first", "log_other", "log_neutral", "rate", "neutral"), pl.Float64),
    }
)
"""One row per caption: log Σ p over the words of each side and over neutral ones, each word whole and with its end;
rate = p(first side) / p(either side); neutral = p(neutral) / p(any of these words)."""


@dataclass(frozen=True)
class AskedWords:
    """Words of one language and what they tell (`tells` [W]); `opening` are those asked only where a caption begins."""

    words: tuple[str, ...]
    tells: Int[np.ndarray, " W"]
    opening: Bool[np.ndarray, " W"]

    @classmethod
    def of(cls, inputs: AnalysisInputs, language: str) -> "AskedWords":
        """The study's lexicon of both sides and the concept's neutral words; with a capital too where one opens a
        caption."""
        lexicon = lexicon_of(inputs, language)
        tells = dict(zip(lexicon.words, np.where(lexicon.positive, FIRST, OTHER).tolist(), strict=True))
        if tells:
            tells = {**dict.fromkeys(inputs.concept.neutral(language), NEUTRAL), **tells}
        capital = {word.capitalize(): kind for word, kind in tells.items() if word.capitalize() not in tells}
        kinds = np.array([*tells.values(), *capital.values()], dtype=np.int64)
        return cls((*tells, *capital), kinds, np.arange(len(kinds)) >= len(tells))


@dataclass(frozen=True)
class _Place:
    """Where words are asked: a row that ends before them, how each is spelled there (null: not asked), and `at`."""

    row: EncodedSample
    words: tuple[Spelling | None, ...]
    at: str


def ask(
    inputs: AnalysisInputs, loaded: LoadedModel, rows: pl.DataFrame, language: str
) -> tuple[pl.DataFrame, Counter[str]]:
    """Ask at every caption of some samples in one language.

    Returns:
        `ASKED`, and the captions that could not be asked, counted by reason. Captions whose two sides have no
        probability at all are among the latter.
    """
    reasons: Counter[str] = Counter()
    words = AskedWords.of(inputs, language)
    twins = {row["sample_id"]: row for row in inputs.samples.iter_rows(named=True)}
    if not len(words.words):
        return pl.DataFrame(schema=ASKED), Counter({f"no words are listed for {inputs.concept.name}": rows.height})
    places = []
    for row in rows.iter_rows(named=True):
        place = _place(inputs, loaded, (row, twins.get(row.get("twin_id") or "")), language, words)
        if isinstance(place, str):
            reasons[place] += 1
        else:
            places.append(place)
    found = _rates(_log_probs(loaded, places, words), places, language)
    unlikely = found["rate"].is_nan()
    reasons["neither side has a word there"] += int(unlikely.sum())
    return found.filter(~unlikely), +reasons


def _rates(log_probs: Float[np.ndarray, "N 3"], places: Sequence[_Place], language: str) -> pl.DataFrame:
    named = [(place.row.sample_id, place.row.image_id, language, place.at) for place in places]
    first, other, neutral = log_probs.T
    with np.errstate(invalid="ignore"):
        either = np.logaddexp(first, other)
        rate, none = np.exp(first - either), np.exp(neutral - np.logaddexp(either, neutral))
    columns = [first, other, neutral, rate, none]
    return pl.DataFrame(
        [(*name, *map(float, row)) for name, row in zip(named, np.stack(columns, 1))], ASKED, orient="row"
    )


def _place(
    inputs: AnalysisInputs,
    loaded: LoadedModel,
    samples: tuple[Mapping[str, Any], Mapping[str, Any] | None],
    language: str,
    words: AskedWords,
) -> _Place | str:
    """Where a caption is asked, or why it is not."""
    row, twin = samples
    caption = row[f"caption_{language}"]
    if caption is None:
        return "no caption"
    span = _first_word(inputs, row, twin, language)
    pictured, at = inputs.images is not None and row.get("image") is not None, AT_WORD
    if span is None:
        at = LAST_PROMPT if pictured else BEHIND
        start = 0 if pictured else len(caption) + 1
        caption = words.words[0] if pictured else f"{caption} {words.words[0]}"
        span = (start, start + len(words.words[0]))
    try:
        encoded = encode_sample(loaded, request(inputs, row, language, caption))
    except UnusableText:
        return "the caption holds a control token"
    word = cut_after_word(encoded, *span)
    if word is None:
        return f"the {inputs.concept.adjective} word shares a token with the word before it"
    if not pictured and word.start == encoded.prefix_length:
        return "nothing stands before the word: no picture, no text"
    opens = not caption[: span[0]].strip()
    since = _since(word)
    spellings = spelled(loaded, word, words.words, since)
    asked = tuple(own if opens or not late else None for own, late in zip(spellings, words.opening, strict=True))
    return _Place(word.sample.until(since), asked, at)


def _first_word(
    inputs: AnalysisInputs, row: Mapping[str, Any], twin: Mapping[str, Any] | None, language: str
) -> tuple[int, int] | None:
    """The characters of a caption's first word of the concept: by what its twin or the world's truth changes, and by
    the concept's own words; null without any."""
    spans = [(word.start, word.end) for word in inputs.concept.words(row[f"caption_{language}"], language)]
    if row[inputs.concept.label_column(language)] in (*inputs.concept.sides, "both"):
        spans += [(swap.start, swap.end) for swap in find_swaps(inputs, row, twin, language)]
    return min(spans, default=None)


def _since(word: WordSequence) -> int:
    """The token from which on words are spelled: that of the space before the word, where it is a token by itself."""
    sample, since = word.sample, word.start
    while since > sample.prefix_length and not _text(sample, since - 1).strip():
        since -= 1
    return since


def _text(sample: EncodedSample, token: int) -> str:
    span = sample.spans[token]
    assert span is not None  # a caption token
    return sample.caption[slice(*span)]


def _log_probs(loaded: LoadedModel, places: Sequence[_Place], words: AskedWords) -> Float[np.ndarray, "N 3"]:
    """log Σ p over the words of either side and over neutral ones, at every place; −inf where none is asked."""
    layouts = [lay_out([word for word in place.words if word is not None]) for place in places]
    rows = [extended(place.row, layout.continuations) for place, layout in zip(places, layouts, strict=True)]
    ends: Bool[Tensor, " V"] = word_ends(loaded)
    found = np.full((len(places), len(words.words)), -np.inf)
    for some in portions([len(row.ids) for row, _ in rows], TOKENS):
        states = run_full(loaded, build_batch(loaded, [rows[i][0] for i in some], [rows[i][1] for i in some]))
        starts, prefixes = [rows[i][1] for i in some], [len(places[i].row.ids) for i in some]
        targets = word_places([layouts[i] for i in some], prefixes, starts, loaded.device)
        scores = many_word_log_probs(loaded, states, targets, ends).cpu().numpy()
        place, word = np.nonzero([[own is not None for own in places[i].words] for i in some])
        found[np.array(some)[place], word] = scores
    kinds = (FIRST, OTHER, NEUTRAL)
    return np.stack(
        [np.logaddexp.reduce(found[:, words.tells == kind], axis=1, initial=-np.inf) for kind in kinds], axis=1
    )
