"""Conclusions at two numbers of features: where they come out differently, the number decides."""

from collections.abc import Iterable, Iterator

from core.stats.estimate import Estimate

SECOND = "_second"
"""What the kind of an estimate at the second number ends in: `swap_second.en.shared` beside `swap.en.shared`."""


def differing(found: Iterable[Estimate], numbers: tuple[int, int]) -> Iterator[str]:
    """A warning for each estimate whose verdict is another at the second number of features than at the first."""
    verdicts = {one.name: one.verdict for one in found}
    for name, verdict in verdicts.items():
        kind, _, place = name.partition(".")
        first = verdicts.get(f"{kind.removesuffix(SECOND)}.{place}")
        if kind.endswith(SECOND) and first is not None and first != verdict:
            where = ", ".join([kind.removesuffix(SECOND), *place.split(".")])
            yield f"The number of features decides: {where}: {first} with {numbers[0]}, {verdict} with {numbers[1]}."
