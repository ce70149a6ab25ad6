"""Changes that break promises of the amplification."""

from tests.promises.mutation import Mutant

_CURVES, _RATES = "core/analysis/amplification/dose_response.py", "core/analysis/amplification/rates.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(breaks, file, old, new, "test_amplification.py")


_FURTHER = "test_amplification_further.py"


MUTANTS = (
    _of(
        "amplification: q over other vectors too",
        _CURVES,
        'corrected_within(slopes, pl.col("vector"))',
        "corrected_within(slopes, pl.lit(True))",
    ),
    _of("amplification: doses out of range", _RATES, 'pl.col("relative_norm") <= 1', 'pl.col("relative_norm") <= 99'),
    _of("amplification: the largest of equal doses", _RATES, "descending=[True, False]", "descending=[True, True]"),
    _of("amplification: doses downward", _RATES, '(pl.col("dose") > 0)', '(pl.col("dose") != 0)'),
    _of(
        "amplification: the rate itself for its change",
        _RATES,
        'change = (paired["first_side"] - paired["first_side_clean"])',
        'change = (paired["first_side"] * 1)',
    ),
    _of(
        "amplification: captions are not averaged",
        _CURVES,
        'keys = ["language", "vector", "dose", "image_id"]',
        'keys = ["language", "vector", "dose", "image_id", "sample_id"]',
    ),
    _of(
        "amplification: random vectors of every language",
        _CURVES,
        'random.filter(pl.col("language") == language)',
        "random",
    ),
    _of(
        "amplification: the slope between the farthest doses",
        _CURVES,
        "max(dose for dose in doses if dose < 0)",
        "min(dose for dose in doses if dose < 0)",
    ),
    Mutant(
        "amplification: a vector need differ from the easier kind of random directions alone",
        "core/analysis/amplification/vectors.py",
        "pl.max_horizontal(f",
        "pl.min_horizontal(f",
        _FURTHER,
    ),
    Mutant(
        "amplification: q of vectors within a language alone",
        "core/analysis/amplification/vectors.py",
        "corrected_within(slopes, pl.lit(True))",
        'corrected_within(slopes, pl.col("language"))',
        _FURTHER,
    ),
    Mutant(
        "amplification: fluency is compared with nothing",
        "core/analysis/amplification/fluency.py",
        "own = value - before - others",
        "own = value - before",
        _FURTHER,
    ),
    Mutant(
        "amplification: the logistic curve of doses out of range",
        "core/analysis/amplification/mid_dose.py",
        'pl.col("relative_norm") <= 1',
        'pl.col("relative_norm") <= 99',
        _FURTHER,
    ),
    Mutant(
        "amplification: repetition of pairs of words",
        "core/analysis/amplification/caption_measures.py",
        "1 - distinct(words, 4)",
        "1 - distinct(words, 2)",
        _FURTHER,
    ),
    Mutant(
        "amplification: captions of one side first",
        "core/analysis/amplification/fluency.py",
        "key=lambda index: turns[index]",
        "key=lambda index: index",
        _FURTHER,
    ),
)
"""Each is noticed by test_amplification.py or test_amplification_further.py."""
