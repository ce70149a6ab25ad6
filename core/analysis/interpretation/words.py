"""A feature in words, by rule: only what its tests support, on the side and in the language where they do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from core.data.concept import IMAGE, LAST_PROMPT, Concept
from core.data.languages import LANGUAGE_NAMES

UNSUPPORTED = "highest-ranked, not significant"
NONE_SIGNIFICANT = "highest-ranked features, none significant"
_ORDER = list(LANGUAGE_NAMES.values())
_TOLD = 3
"""Tokens quoted of an explanation."""


def described_in_words(associations: pl.DataFrame, explanations: pl.DataFrame, concept: Concept) -> pl.DataFrame:
    """layer, feature, in_words, shared_with: one row per feature that has an explanation."""
    tests: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for test in associations.iter_rows(named=True):
        tests.setdefault((test["layer"], test["feature"]), []).append(test)
    rows = []
    for explained in explanations.iter_rows(named=True):
        own = tests.get((explained["layer"], explained["feature"]), [])
        words = in_words(own, explained, concept)
        rows.append((explained["layer"], explained["feature"], words, _shared(own)))
    schema = {"layer": pl.UInt16, "feature": pl.UInt32, "in_words": pl.String, "shared_with": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def in_words(tests: Sequence[Mapping[str, Any]], explained: Mapping[str, Any], concept: Concept) -> str:
    """What a feature fires on: where its tests pass and no other attribute explains as much of it; else that it is
    shared, or not significant.

    Args:
        tests: its rows of the tests, each with language, position_set, auroc, passes, own, shared_with.
        explained: its row of the explanations, quoted where it tells better than chance and than other features' do.
        concept: names sides and position sets.
    """
    own = [test for test in tests if test["own"]]
    if own:
        return f"fires more {' and '.join(_places(own, concept))}{_told(explained, concept)}"
    shared = _shared(tests)
    return f"shared with {shared}{_told(explained, concept)}" if shared else UNSUPPORTED


def _shared(tests: Iterable[Mapping[str, Any]]) -> str | None:
    """The attributes that a feature is shared with where its test passes, if it is nowhere the concept's own."""
    passing = [test for test in tests if test["passes"]]
    if any(test["own"] for test in passing):
        return None
    names = [test["shared_with"] for test in passing if test["shared_with"]]
    return ", ".join(sorted(set(names))) or None


def _places(own: Iterable[Mapping[str, Any]], concept: Concept) -> list[str]:
    """Position sets and sides in reading order, the languages of each together."""
    languages: dict[tuple[int, str], list[str]] = {}
    for test in own:
        side = concept.sides[0 if test["auroc"] > 0.5 else 1]
        found = languages.setdefault((concept.position_sets.index(test["position_set"]), side), [])
        found += [LANGUAGE_NAMES[test["language"]]] if test["language"] in LANGUAGE_NAMES else []
    return [
        _place(concept.position_sets[place], side, " and ".join(sorted(names, key=_ORDER.index)), concept)
        for (place, side), names in sorted(languages.items())
    ]


def _place(position_set: str, side: str, languages: str, concept: Concept) -> str:
    people = concept.those(side)
    captions = f"{languages} captions" if languages else "captions"  # rows that all languages share name none
    words = {
        IMAGE: f"on pictures of {people}",
        LAST_PROMPT: f"at the end of the prompt, before {captions} of {people}",
        concept.positions.before: f"before a {side} word in {captions}",
    }
    return words.get(position_set, f"on a {side} word in {captions}")


def _told(explained: Mapping[str, Any], concept: Concept) -> str:
    """The explanation, where its score on test images is above chance and above other features' explanations."""
    low, control = explained["low"], explained["control"]
    if low is None or low <= 0.5 or (control is not None and explained["score"] <= control):
        return ""
    if explained["kind"] == "token":
        quoted = explained["explanation"].removeprefix("tokens ").split(", ")[:_TOLD]
        return f"; most on {', '.join(quoted)}"
    return "" if concept.name in explained["kind"] else f"; most on {explained['explanation']}"
