"""One log per study, turned over before it grows large, which several runs may write at once."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows import pipeline_log as logs
from flows.pipeline_log import pipeline_log, pipeline_log_path

WRITER = """
import logging, sys
from pathlib import Path
from flows import pipeline_log as logs
logs.LARGEST_BYTES, logs.KEPT = 20_000, 40
with logs.pipeline_log(Path(sys.argv[1]), "demo"):
    for number in range(400):
        logging.getLogger("saeflow.flows").info("%s %d %s", sys.argv[2], number, "x" * 40)
"""


def test_it_holds_runs_stages_and_units_and_of_all_else_warnings(tmp_path: Path) -> None:
    with pipeline_log(tmp_path, "demo") as path:
        logging.getLogger("saeflow.flows").info("capture begins: 4 units, 3 to make")
        logging.getLogger("saeflow.train_sae.abc").info("train_sae[0] begins")
        logging.getLogger("saeflow.train_sae.abc").warning("a checkpoint could not be read")
        logging.getLogger("another.library").error("not ours")
    logging.getLogger("saeflow.flows").error("after the run")
    lines = path.read_text("utf-8").splitlines()
    assert [line.split(maxsplit=3)[2:] for line in lines] == [
        ["INFO", "capture begins: 4 units, 3 to make"],
        ["WARNING", "a checkpoint could not be read"],
    ]
    assert path == pipeline_log_path(tmp_path, "demo") == tmp_path / "logs" / "pipeline" / "demo.log"


def test_it_is_turned_over_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST_BYTES", 1000)
    with pipeline_log(tmp_path, "demo") as path:
        for number in range(200):
            logging.getLogger("saeflow.flows").info("line %d", number)
    sizes = {file.name: file.stat().st_size for file in path.parent.glob("demo.log*") if file.suffix != ".lock"}
    assert set(sizes) == {"demo.log", *(f"demo.log.{number}" for number in range(1, logs.KEPT + 1))}
    assert max(sizes.values()) <= 1000 and "line 199" in path.read_text()


def test_runs_of_a_study_that_go_on_at_once_lose_no_line(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], cwd=Path.cwd()) for name in ("one", "two")
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    texts = [path.read_text() for path in (tmp_path / "logs" / "pipeline").glob("demo.log*")]
    for name in ("one", "two"):
        found = sorted(int(number) for text in texts for number in re.findall(rf"{name} (\d+) x{{40}}$", text, re.M))
        assert found == list(range(400))


def test_a_place_that_cannot_be_written_to_ends_no_study(tmp_path: Path) -> None:
    with pipeline_log(tmp_path, "demo") as path:
        path.parent.rmdir()
        path.parent.touch()
        logging.getLogger("saeflow.flows").info("said into the void")
