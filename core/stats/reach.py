"""Whether one test alone can pass once all tests of its family are corrected, or its draws are too few for that."""

import math

from core.stats.families import ALPHA

_SLACK = 1e-9


def out_of_reach(least: float, tests: int) -> tuple[str, ...]:
    """The caveat of a family in which no test has q ≤ 5 % by itself (Benjamini & Hochberg 1995); empty where one can.

    Args:
        least: the smallest p that a test of the family can have.
        tests: how many the family has.
    """
    needed = math.ceil(least * tests / ALPHA - _SLACK)
    if needed <= 1:
        return ()
    if needed > tests:
        return (f"no p is below {least:.2g}, so that none of the {tests} tests can have q ≤ 5 %",)
    return (f"no p is below {least:.2g}, so that q ≤ 5 % needs {needed} of the {tests} tests as small as that",)
