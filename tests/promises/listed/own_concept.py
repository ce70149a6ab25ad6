"""Changes that break promises of a concept of a user's own: its classes, labels, words, pairs and units."""

from tests.promises.mutation import Mutant

_SECTION, _STUDIED = "core/study/concept.py", "core/data/studied_concept.py"
_LISTS, _CHECKS = "core/data/listed_words.py", "core/data/concept_checks.py"
_PAIRS, _LEFT_OUT, _NAMING = "core/causal/pairs.py", "core/planning/left_out.py", "core/planning/naming.py"
_FEATURES = "core/planning/builders/features.py"


def _of(breaks: str, file: str, old: str, new: str, tests: str = "test_own_concept.py") -> Mutant:
    return Mutant(f"own concept: {breaks}", file, old, new, tests)


def _planned(breaks: str, file: str, old: str, new: str) -> Mutant:
    return _of(breaks, file, old, new, "../core/planning/test_concepts.py")


MUTANTS = (
    _of(
        "a class's words are its own",
        _SECTION,
        "{}) for side in self.classes or (",
        "{}) for side in tuple(self.words) or (",
    ),
    _of(
        "lists of different lengths pair nothing",
        _SECTION,
        "tuple(zip(one, other, strict=True)) if len(one) == len(other) else ()",
        "tuple(zip(one, other))",
    ),
    _of(
        "values in order are the classes",
        _STUDIED,
        "sorted(counts, key=lambda value: (value.casefold() not in _AFFIRMED, value))",
        "counts",
    ),
    _of(
        "a caption that names the other class is on both",
        _STUDIED,
        "return BOTH if told - {value} else value",
        "return value",
    ),
    _of("a third class is on no side", _STUDIED, "if told is None else NONE", "if told is None else sides[1]"),
    _of(
        "words are those of the caption's language",
        _STUDIED,
        "return lists[language].find(caption) if language in lists else ()",
        "return next(iter(lists.values())).find(caption) if lists else ()",
    ),
    _of(
        "labels are by words of the caption's language",
        _STUDIED,
        "_told(lists.get(language), caption)",
        "_told(next(iter(lists.values()), None), caption)",
    ),
    _of(
        "pairs are of their language",
        _STUDIED,
        "lists[language].pairs if language in lists else ()",
        "next(iter(lists.values())).pairs if lists else ()",
    ),
    _of(
        "an inflected word has no counterpart",
        _LISTS,
        "if other is None or word.is_inflected:",
        "if other is None:",
    ),
    _of("no article twice", _LISTS, 'fold(other).text.startswith("ال")', "False"),
    _of("the longer of two phrases", _LISTS, "(-len(phrase), phrase)", "(len(phrase), phrase)"),
    _of("a phrase counts once", _LISTS, "at += len(hit.phrase) if hit is not None else 1", "at += 1"),
    _of(
        "a phrase stands in one stretch",
        _LISTS,
        "if form is None or (forms and _BETWEEN.fullmatch(text[forms[-1].end : word.start]) is None):",
        "if form is None:",
    ),
    _of(
        "a preposition stands before a phrase alone",
        _LISTS,
        "place == 0 or (not reading.preposition and",
        "place >= 0 or (not reading.preposition and",
    ),
    _of("a verb in the future is no noun", _LISTS, "and inner and not reading.is_future:", "and inner:"),
    _of(
        "a word in both lists is told however it is written",
        _LISTS,
        "if self.phrase(entry) in other]",
        "if entry in self.words[1]]",
    ),
    _of(
        "unheard words are named by side",
        _CHECKS,
        "zip(own.sides, own.words, strict=True):",
        "zip(own.sides, own.words[::-1], strict=True):",
    ),
    _of("a class that no caption is on is refused", _CHECKS, "if not min(sizes):", "if not sum(sizes):"),
    _of("captions on both sides are counted", _CHECKS, "if both > UNEVEN * sum(sizes):", "if both < 0:"),
    _of(
        "counts are of captions, not of all samples",
        _CHECKS,
        "labelled[concept.label_column(language)].drop_nulls()",
        'labelled[concept.label_column(language)].fill_null("none")',
    ),
    _of("a class is a value of the column", _CHECKS, "if side is not None and side not in counts:", "if False:"),
    _of(
        "a twin that is on no other side is of another concept",
        _PAIRS,
        "opposite = twin is not None and {row[label], twin[label]} == set(concept.sides)",
        "opposite = twin is not None",
    ),
    _of(
        "a twin that differs elsewhere shows no word",
        _PAIRS,
        "if swaps and _is_spoken(concept, caption, swaps[0], language):",
        "if swaps:",
    ),
    _of(
        "a twin's picture is of the other side",
        _PAIRS,
        "return twin if any(caption is not None for caption in captions) else None",
        "return twin",
    ),
    _planned(
        "a unit's fingerprint has its concept",
        _FEATURES,
        'recipe["concept"] = concept_recipe(concept)',
        "pass",
    ),
    _planned(
        "a fingerprint has every field of the concept",
        _NAMING,
        'concept.model_dump(mode="json")',
        'concept.model_dump(mode="json", exclude={"words"})',
    ),
    _planned(
        "units of two concepts have two names",
        _NAMING,
        "concept.name if len(self.concepts) > 1 else",
        "concept.name if False else",
    ),
    _planned("a reason names the concept that lacks", _NAMING, "alike = len(reasons) == len(left_out) and", "alike ="),
    _planned(
        "what is about gender alone is left out",
        _LEFT_OUT,
        "analysis.concept is not None and analysis.concept != known.concept.name",
        "False",
    ),
    _planned("what needs words is left out", _LEFT_OUT, "is_built_in(concept) or concept.words:", "True:"),
    _planned("what needs pairs is left out", _LEFT_OUT, "is_built_in(concept) or any(", "concept.words or any("),
    _of(
        "pairs are of a language that the study has",
        _LEFT_OUT,
        "for language in languages_of(known.study)):",
        "for language in LANGUAGES):",
    ),
)
"""Each is noticed by test_own_concept.py, or the tests of what several concepts share."""
