from pathlib import Path

import pytest

from tests.chaos.kill import differences, left_open, torment
from tests.databases import CopyDatabases
from tests.flows.commands import FEWER, LEFT_OUT

pytestmark = [pytest.mark.timeout(1800), pytest.mark.endings]  # `make test-all` has it on SLURM: slurm/test_study.py
# Where two quiet cores are in the middle of captures; anywhere will do.
MOMENTS = [16.0]


def test_a_killed_study_ends_as_an_undisturbed_one_to_the_byte(
    request: pytest.FixtureRequest, tmp_path: Path, copy_databases: CopyDatabases
) -> None:
    harsh = tmp_path / "workspace"
    copy_databases(harsh)
    torment(("mini", *FEWER), harsh, MOMENTS)
    calm: Path = request.getfixturevalue("mini_workspace")  # which another process may make in the meantime
    assert differences(calm, harsh, (*LEFT_OUT, "report")) == []  # the report names what was left out
    assert left_open(harsh, "saeflow-mini") == [], "what a kill left open is closed at resume"
