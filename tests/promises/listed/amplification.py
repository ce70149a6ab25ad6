"""Changes that break promises of the amplification."""

from tests.promises.mutation import Mutant

_CURVES, _RATES = "core/analysis/amplification/dose_response.py", "core/analysis/amplification/rates.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(breaks, file, old, new, "test_amplification.py")


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
        'change = (paired["female"] - paired["female_clean"])',
        'change = (paired["female"] * 1)',
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
)
"""Each is noticed by test_amplification.py."""
