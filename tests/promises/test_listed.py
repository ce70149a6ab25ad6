"""Every listed change can still be made: what it changes stands in its file once."""

import pytest

from flows.runtime.settings import PROJECT
from tests.promises.mutants import known
from tests.promises.mutation import Mutant


@pytest.mark.parametrize("mutant", known(), ids=lambda mutant: mutant.breaks)
def test_what_it_changes_stands_there_once(mutant: Mutant) -> None:
    assert (PROJECT / mutant.file).read_text("utf-8").count(mutant.old) == 1
    assert (PROJECT / "tests" / "promises" / mutant.tests).is_file()
