"""Changes that break promises of explanations' scores."""

from tests.promises.mutation import Mutant

_SCORERS = "core/explain/scorers"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(f"catalogue scores: {breaks}", file, old, new, "test_catalogue_scores.py")


MUTANTS = (
    _of(
        "what an explainer saw is scored",
        "core/explain/examples_shown.py",
        'told, on=keys, how="anti", maintain_order="left"',
        'told.clear(), on=keys, how="anti", maintain_order="left"',
    ),
    _of(
        "an unread answer is a wrong one",
        f"{_SCORERS}/asking.py",
        "[None] * len(put.items) if said is None else said",
        "[(0.0,) * len(item.truth) for item in put.items] if said is None else said",
    ),
    _of(
        "failures are not counted",
        f"{_SCORERS}/measuring.py",
        '"n_failed": len(rows) - len(read)',
        '"n_failed": 0',
    ),
    _of(
        "pairs may differ in more than one attribute",
        "core/explain/twins.py",
        "beside.filter(same & differs)",
        "beside.filter(differs)",
    ),
    _of(
        "a pair holds a sample that the explainer saw",
        "core/explain/twins.py",
        ' & ~pl.col("other_id").is_in(seen)',
        "",
    ),
    _of(
        "examples stand in the table's order",
        f"{_SCORERS}/asking.py",
        "np.random.default_rng([seed, *further]).permutation(count)",
        "range(count)",
    ),
    _of(
        "the stronger twin always comes first",
        f"{_SCORERS}/twins.py",
        ".integers(2, size=pairs)",
        ".integers(1, 2, size=pairs)",
    ),
    _of(
        "the intruder always comes first",
        f"{_SCORERS}/intruder.py",
        "int(rng.integers(len(others) + 1))",
        "0",
    ),
    _of(
        "wrong marks count as right",
        f"{_SCORERS}/fuzz.py",
        "(float(wrong is None),)",
        "(1.0,)",
    ),
)
"""Each is noticed by test_catalogue_scores.py."""
