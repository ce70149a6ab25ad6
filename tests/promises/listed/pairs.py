"""Changes that break promises of pairs."""

from tests.promises.mutation import Mutant

_PAIRS, _WORDS, _ENGLISH = "core/causal/pairs.py", "core/causal/counterparts.py", "core/data/gender_counterparts.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(breaks, file, old, new, "test_pairs.py")


MUTANTS = (
    _of(
        "pairs: oriented by the caption's label",
        _PAIRS,
        "side_of(concept, caption, (swap.start, swap.end), language) or row",
        "row",
    ),
    _of(
        "pairs: the sign is that of the other side",
        _PAIRS,
        "1 if side == concept.sides[1]",
        "1 if side == concept.sides[0]",
    ),
    _of("pairs: the first caption only", _PAIRS, "return Chosen(rows, every.sort", "return Chosen(rows, rows.sort"),
    _of("pairs: an image and its twin are both taken", _PAIRS, "            seen.add(int(units[index]))\n", ""),
    _of("pairs: training images", _PAIRS, 'pl.col("split") == split', 'pl.col("split") != split'),
    _of("pairs: a fixed seed", _PAIRS, "images, inputs.seed)\n    rows", "images, 0)\n    rows"),
    _of("pairs: sides are not balanced", _PAIRS, "for rare_first in (True, False)", "for rare_first in (False,)"),
    _of("pairs: words of the lexicon stay among all other words", _WORDS, "*told, *(_differing", "*(_differing"),
    _of(
        "pairs: words that the twin has not stay among all other words",
        _WORDS,
        "*(_differing(caption, twin) if twin else ())",
        "",
    ),
    _of(
        "pairs: a word behind one without counterpart is the first",
        _WORDS,
        "            break\n        swaps",
        "            continue\n        swaps",
    ),
    _of("pairs: object her is his", _ENGLISH, '        return "him"\n', '        return "his"\n'),
    _of("pairs: his before a noun is hers", _ENGLISH, 'return "hers" if alone else "her"', 'return "hers"'),
)
"""Each is noticed by test_pairs.py."""
