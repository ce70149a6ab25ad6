"""Changes to the tests of the maximum at equal caption length."""

from tests.promises.mutation import Mutant

_RANKS = "core/stats/partial_ranks.py"
_FAMILIES = "core/features/maximum_families.py"
_MAXIMA = "core/features/maxima.py"


def _of(breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(f"maximum: {breaks}", file, old, new, "test_maxima.py")


MUTANTS: tuple[Mutant, ...] = (
    _of(
        "it is tested at equal caption length",
        _RANKS,
        "left = ranked - self._basis @ (self._basis.T @ ranked)",
        "left = ranked",
    ),
    _of(
        "it is the largest activation of the image's rows",
        _MAXIMA,
        "largest = np.maximum.reduceat(values, starts) if starts.size else values",
        "largest = np.add.reduceat(values, starts) if starts.size else values",
    ),
    _of(
        "twins are exchanged together",
        _FAMILIES,
        "[units.get(image, image) for image in images]",
        "images",
    ),
    _of(
        "what is said is the share at equal length",
        "core/analysis/overview/maxima.py",
        'value=row["share"],',
        'value=row["raw_share"],',
    ),
)
