"""Paths with characters that mean something in URLs, #SBATCH lines and shells: quoted, or refused in a line."""

import shlex
import subprocess
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy.engine import make_url

from cli.main import main
from core.data.table_rows import table_rows
from core.errors import BadInput
from flows.runtime.place import Place
from flows.runtime.profiles import SlurmProfile
from flows.runtime.settings import PROJECT, read_settings
from flows.slurm.job import JobOrder, example_script, job_script, open_cluster, prologue, sbatch_word
from tasks.tracking import open_parent
from tasks.tracking_database import make_tracking_database, sqlite_url
from tests.flows.surroundings import ODD_NAME

ODD_NAMES = ["a b", "50%", "a%41b", "a?b=c", "a#b", "it's", 'say "x"', "ملف", "$HOME", "a[1]*", "a;b&c", "`id`", "a\\b"]
POOLS = {"cpu": {"partition": "shared"}, "gpu": {"partition": "gpu"}}


def profile(**fields: object) -> SlurmProfile:
    return SlurmProfile.model_validate({"kind": "slurm", "host": "127.0.0.1", **POOLS, **fields})


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_database_lies_where_its_path_says(name: str) -> None:
    path = Path("/somewhere") / name / "mlflow.db"
    assert make_url(sqlite_url("sqlite", path)).database == str(path)


def test_mlflow_s_database_and_artifacts_lie_in_the_workspace_whatever_it_and_the_experiment_are_called(
    tmp_path: Path,
) -> None:
    root = tmp_path / f"{ODD_NAME} %41?x=1"
    uri = sqlite_url("sqlite", root / "mlflow.db")
    make_tracking_database(uri, root / "mlartifacts")
    for number, experiment in enumerate(("../../out", "/Users/me@example.org/تجربة?", "..", "50% #1")):
        _, run = open_parent(uri, experiment, root / "mlartifacts", {}, {})
        from mlflow import MlflowClient

        MlflowClient(uri).log_text(run, "x", "x.txt")
        assert len(list((root / "mlartifacts").glob("*/*/artifacts/x.txt"))) == number + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [root.name]
    assert (root / "mlflow.db").is_file()


def test_a_relative_database_is_that_of_the_folder_where_the_command_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAEFLOW_FOLDER", str(tmp_path / "a?b"))
    for given, meant in {
        "sqlite:///runs.db": sqlite_url("sqlite", tmp_path / "a?b" / "runs.db"),
        "sqlite:////data/runs.db": "sqlite:////data/runs.db",
        "http://login1:5000": "http://login1:5000",
        "": sqlite_url("sqlite", PROJECT / "workspace" / "mlflow.db"),
    }.items():
        monkeypatch.setenv("SAEFLOW_TRACKING_URI", given)
        monkeypatch.delenv("SAEFLOW_WORKSPACE", raising=False)
        assert read_settings().tracking_uri == meant


@pytest.mark.parametrize("name", ["two\nlines", "tab\t", "bell\a"])
def test_a_control_character_in_the_workspace_s_path_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(tmp_path / name))
    with pytest.raises(BadInput, match=r"^workspace .*: its path holds '\\\w+', .* choose another with --workspace$"):
        read_settings()


def test_an_installation_from_which_mlflow_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", "/home/me/50% done/.venv")
    with pytest.raises(BadInput, match=r"^/home/me/50% done/.venv: MLflow cannot run from a folder with % in its path"):
        read_settings()


def test_that_refusal_is_one_line_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAEFLOW_WORKSPACE", "")  # taken back after
    monkeypatch.setattr("sys.argv", ["saeflow", "--workspace", str(tmp_path / "two\nlines"), "status"])
    with pytest.raises(SystemExit, match="1"):
        main()
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and r"two\nlines" in told


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if "\\" not in name])
def test_a_job_script_is_shell_whatever_the_paths_are(name: str, tmp_path: Path) -> None:
    alive = tmp_path / name / "alive"
    alive.parent.mkdir()
    alive.touch()
    order = JobOrder(Place("demo", "capture", tmp_path / name, alive=alive), profile(), profile().gpu)
    lines = example_script(order).splitlines()
    checked = [*prologue(order), "echo went on"]
    done = subprocess.run(["bash", "-c", "\n".join(checked)], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("went on\n", "")
    alive.unlink()
    done = subprocess.run(["bash", "-c", "\n".join(checked)], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "" and "has ended" in done.stderr
    patterns = [
        shlex.split(line, comments=True)[-1] for line in (line[8:] for line in lines if line[:9] == "#SBATCH -")
    ]
    assert f"{order.log_folder}/saeflow-demo-capture-%j.out".replace("%", "%%").replace("%%j", "%j") in patterns
    assert f"--chdir={tmp_path / name}/prefect" in patterns


def test_a_value_with_blanks_or_quotes_is_one_word_of_an_sbatch_line() -> None:
    assert sbatch_word("gpu:a100:1") == "gpu:a100:1"
    assert sbatch_word("a100&(hbm|big)") == "a100&(hbm|big)"
    assert sbatch_word('two "words" \\ # x') == r'"two \"words\" \\ # x"'


def test_certificates_and_python_in_odd_places_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/opt/my python/bin/python")
    order = JobOrder(Place("demo", "capture", tmp_path / ODD_NAME), profile(host="127.0.0.2"), profile().gpu)
    with open_cluster(order) as cluster:
        words = shlex.split(job_script(cluster).splitlines()[-1])
    assert words[0] == "/opt/my python/bin/python"
    files = [words[words.index(option) + 1] for option in ("--tls-ca-file", "--tls-cert", "--tls-key")]
    assert {str(Path(file).parent) for file in files} == {str(tmp_path / ODD_NAME / ".dask")}


def test_scratch_may_name_variables_and_hold_blanks(tmp_path: Path) -> None:
    order = JobOrder(Place("demo", "capture", tmp_path), profile(scratch="$TMPDIR/my files"), profile().gpu)
    assert '--local-directory "$TMPDIR/my files"' in example_script(order)


def test_a_backslash_in_the_logs_path_is_refused_where_slurm_would_fill_in_no_job_id(tmp_path: Path) -> None:
    order = JobOrder(Place("demo", "capture", tmp_path / "a\\b"), profile(), profile().gpu)
    with pytest.raises(BadInput, match=r"a\\b.*SLURM cannot name a job's log below a folder with a backslash"):
        example_script(order)
    elsewhere = JobOrder(order.place, profile(log_folder=str(tmp_path)), profile().gpu)
    assert f"#SBATCH -o {tmp_path}/saeflow-demo-capture-%j.out" in example_script(elsewhere)


@pytest.mark.parametrize(
    "fields",
    [{"gpu": {"partition": "gpu\n#SBATCH --mem=1"}}, {"scratch": "/tmp\nrm x"}, {"log_folder": "/logs\r"}],
    ids=str,
)
def test_a_line_break_in_a_profile_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="write it in one line"):
        profile(**fields)


def test_tables_below_a_folder_with_a_pattern_s_characters_are_that_folder_s(tmp_path: Path) -> None:
    for name, value in (("a[1]*", 1), ("a1", 2), ("a1b", 3)):
        (tmp_path / name).mkdir()
        pl.DataFrame({"n": [value]}).write_parquet(tmp_path / name / "t.parquet")
    assert [row.values["n"] for row in table_rows(tmp_path / "a[1]*" / "t.parquet", ["n"])] == [1]


def test_no_parquet_file_is_read_by_a_pattern() -> None:
    for path in (
        file
        for folder in ("core", "tasks", "flows", "cli", "explorer", "saeflow", "infra")
        for file in (PROJECT / folder).rglob("*.py")
    ):
        text = path.read_text("utf-8")
        reads = text.count("pl.read_parquet(") + text.count("pl.scan_parquet(")
        assert reads == text.count("glob=False") and "read_parquet_schema" not in text, path
