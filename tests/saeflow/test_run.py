"""`saeflow.run`: the command in a process of its own, and the study that it made."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import saeflow
from core.planning.loading import load_study
from flows.by_command import RunFailed
from tests.flows.commands import PROJECT

pytestmark = pytest.mark.timeout(900)
MINI = PROJECT / "deployments" / "studies" / "mini.yaml"


def test_a_finished_study_is_opened_with_the_command_s_words(
    mini_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = saeflow.run("mini", workspace=mini_workspace)
    told = capsys.readouterr().out
    assert re.search(r"✓ mini: everything is there already \(\d+ artefacts\); nothing to do\.", told)
    assert study.key == saeflow.open("mini", workspace=mini_workspace).key


def test_a_study_may_be_an_object(mini_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MINI.parent)  # its relative paths start here
    study = saeflow.run(load_study(MINI), "sae.k=8", workspace=mini_workspace)
    assert study.key == saeflow.open("mini", workspace=mini_workspace).key


@pytest.mark.parametrize(
    ("study", "words", "cluster", "told"),
    [
        ("mnii", (), "threads", "study 'mnii': no such file in"),
        ("mini", ("sae.kk=3",), "threads", "mini.yaml: sae.kk: unknown key; did you mean 'k'?"),
        ("mini", ("sae.k",), "threads", "--set 'sae.k': write section.key=value, for example sae.k=64"),
        ("mini", (), "nowhere", "cluster 'nowhere': no such profile; known: "),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(
    tmp_path: Path, study: str, words: tuple[str, ...], cluster: str, told: str
) -> None:
    with pytest.raises(saeflow.BadInput) as raised:
        saeflow.run(study, *words, cluster=cluster, workspace=tmp_path / "workspace")
    assert told in str(raised.value) and not (tmp_path / "workspace").exists()


def test_a_run_that_fails_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFailed, match=rf"^workspace {tmp_path}/file: cannot be written to \(File exists\); choose "):
        saeflow.run("mini", workspace=tmp_path / "file")
    assert "error: workspace" in capsys.readouterr().out


# A notebook's process that runs a command of ours; the command takes its time to end, as one that writes checkpoints.
NOTEBOOK = """
import sys
from flows import by_command
class Command:
    executable, stdout = sys.argv[1], sys.stdout
    platform = sys.platform
by_command.sys = Command
from core.store.workspace import Workspace
from pathlib import Path
try:
    by_command._command(["run"], Workspace(Path("/nowhere")))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
COMMAND = """#!/bin/sh
trap 'echo checkpoints are written; exit 130' INT
echo under way
while :; do sleep 0.1; done
"""


def test_ctrl_c_ends_the_command_which_may_take_its_time(tmp_path: Path) -> None:
    command = tmp_path / "command"
    command.write_text(COMMAND)
    command.chmod(0o755)
    words = [sys.executable, "-c", NOTEBOOK, str(command)]

    def as_in_a_terminal() -> None:  # a shell's job in the background ignores SIGINT, and so would all that it starts
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=PROJECT, stdout=pipe, text=True, preexec_fn=as_in_a_terminal) as notebook:
        assert notebook.stdout is not None
        assert notebook.stdout.readline() == "under way\n"
        notebook.send_signal(signal.SIGINT)
        assert notebook.stdout.read().splitlines() == ["checkpoints are written", "interrupted"]
    assert notebook.returncode == 0
