"""What catalogues say, in `saeflow feature`: here and of a server, over tables made by hand for an SAE of mini."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import saeflow as public
from tests.cli.test_explore import explored
from tests.cli.test_feature_server import AT, sharing
from tests.flows.commands import saeflow_here
from tests.planted_tables import publish

SAE = "mini/layer_17"
COMMANDS = {
    "overview": ("overview", "3", "--top-k", "2", "--max-examples", "1", *AT),
    "what failed": ("overview", "7", "--top-k", "2", "--max-examples", "1", *AT),
    "search": ("search", "--explained", "woman named"),
    "search Arabic": ("search", "--explained", "امرأة", *AT),
}


@pytest.fixture(scope="module")
def workspace(mini_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = sharing(mini_workspace, tmp_path_factory.mktemp("explained"))
    study = public.open("mini", workspace=place)
    publish(study.workspace, {SAE: study.layer_artifacts(17).sae}, name="mini")
    return place


@pytest.fixture(scope="module")
def server(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with explored(workspace, tmp_path_factory.mktemp("terminal") / "out") as (_, url):
        yield url


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_command_prints_the_same_with_a_server_and_without(
    workspace: Path, server: str, words: tuple[str, ...]
) -> None:
    for form in ((), ("--json",)):
        here = saeflow_here(workspace, "feature", *words, *form)
        there = saeflow_here(workspace, "feature", *words, *form, "--server", server)
        assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
        assert here.stdout == there.stdout and here.stdout.count("\n") > 2


def test_an_overview_has_texts_and_scores(workspace: Path) -> None:
    found = json.loads(saeflow_here(workspace, "feature", "overview", "3", *AT, "--json").stdout)
    rows = found["tables"]["explanations in catalogue mini"]
    assert [row["explanation"] for row in rows][1:] == ["a woman is named", "ذكر امرأة"]
    assert (rows[1]["fuzz"], rows[1]["fuzz_low"], rows[1]["fuzz_high"], rows[1]["unread"]) == (0.9, 0.8, 0.95, 2)
    assert "fuzz: balanced accuracy, chance ½" in found["lines"][1]
    failed = json.loads(saeflow_here(workspace, "feature", "overview", "7", *AT, "--json").stdout)
    assert "llama gave no explanation (refusal: I cannot help with that)" in failed["lines"][-1]


def test_a_search_says_that_it_is_by_words_alone(workspace: Path) -> None:
    found = json.loads(saeflow_here(workspace, "feature", "search", "--explained", "woman", "--json").stdout)
    assert "by words alone (embedder planted/embedder: is not on this machine)" in found["lines"][0]
    ((first, second),) = found["tables"].values()
    assert (first["layer"], first["feature"], second["explanation"]) == (17, 3, "a woman is named")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--explained", ""), "q: is empty"),
        (("--explained", "x" * 501), "q: has 501 characters; write at most 500"),
        (("a caption", "--explained", "x"), "--explained: searches explanations, not captions or pictures"),
        (("--explained", "x", "--study", "nobodys"), "nobodys"),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_line(workspace: Path, words: tuple[str, ...], told: str) -> None:
    ended = saeflow_here(workspace, "feature", "search", *words)
    assert ended.returncode == 1 and told in " ".join(ended.stderr.split()) and "Traceback" not in ended.stderr
