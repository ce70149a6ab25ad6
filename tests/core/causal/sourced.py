"""Every estimate of a result stands in the table, row and column that it names."""

import math

import pytest

from core.analysis.result import Result


def assert_sourced(result: Result) -> None:
    """Fail where a table's entry is not the estimate's value, or two estimates share a name."""
    names = [one.name for one in result.estimates]
    assert len(set(names)) == len(names)
    for one in result.estimates:
        found = result.tables[one.source.table].filter(**one.source.key)
        assert found.height == 1, one.name
        entry = found[one.source.column].item()
        assert (math.isnan(one.value) and math.isnan(entry)) or entry == pytest.approx(one.value), one.name
