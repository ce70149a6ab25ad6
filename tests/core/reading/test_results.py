import json
from pathlib import Path

import pytest

from core.errors import BadInput
from core.reading.results import read_estimates, read_result


@pytest.mark.parametrize("read", [read_result, read_estimates])
def test_a_result_of_an_earlier_saeflow_is_refused_in_one_line(tmp_path: Path, read: object) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"metrics": {}, "shown": {}, "notes": []}))
    with pytest.raises(BadInput, match=r"summary.json: has no estimates: an earlier saeflow wrote it; run the study"):
        read(tmp_path)
