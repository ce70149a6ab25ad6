"""Changes that break promises of conclusions at two numbers of features."""

from tests.promises.mutation import Mutant

_FILE, _TESTS = "core/stats/two_numbers.py", "test_two_numbers.py"

MUTANTS = (
    Mutant(
        "two numbers: verdicts that differ are told", _FILE, "and first != verdict:", "and first == verdict:", _TESTS
    ),
    Mutant(
        "two numbers: the second is compared with the first at its own place",
        _FILE,
        'verdicts.get(f"{kind.removesuffix(SECOND)}.{place}")',
        "next(iter(verdicts.values()))",
        _TESTS,
    ),
)
