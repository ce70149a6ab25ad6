"""`saeflow feature`, over the mini study."""

import json
from pathlib import Path
from typing import Any

import pytest

import saeflow as public
from tests.flows.commands import saeflow_here

AT = ("--study", "mini", "--layer", "17")


def asked(workspace: Path, *words: str) -> dict[str, Any]:
    told = saeflow_here(workspace, "feature", *words, *AT, "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@pytest.fixture(scope="module")
def strongest(mini_workspace: Path) -> int:
    """The feature that fires in most rows."""
    features = public.open("mini", workspace=mini_workspace).layer(17).index.features
    return int(features.sort("count", "feature", descending=[True, False])["feature"][0])


def test_an_overview_says_what_the_index_says(mini_workspace: Path, strongest: int) -> None:
    layer = public.open("mini", workspace=mini_workspace).layer(17)
    found = asked(mini_workspace, "overview", str(strongest), "--top-k", "2", "--max-examples", "1")
    statistics = layer.feature(strongest).statistics
    assert found["lines"][0].startswith(f"active in {statistics['count']:,} of {layer.index.num_rows:,} rows")
    tables = found["tables"]
    assert [row["neighbour"] for row in tables["nearest decoder rows"]] == (
        layer.feature(strongest).neighbours["neighbour"][:2].to_list()
    )
    every = asked(mini_workspace, "overview", "--all", "--top-k", "5")
    assert len(every["tables"]["features"]) == 5


def test_a_sweep_has_each_value_and_its_control_and_says_that_it_is_observed(
    mini_workspace: Path, strongest: int
) -> None:
    found = asked(mini_workspace, "sweep", str(strongest), "--family", "visible_gender", "--language", "ar")
    images = public.open("mini", workspace=mini_workspace).samples["image_id"].n_unique()
    assert sum(row["images"] for row in found["tables"]["by visible_gender"]) == images
    (share,) = (
        row for name, rows in found["tables"].items() for row in rows if row.get("attribute") == "visible_gender"
    )
    assert share["control_low"] <= share["control"] <= share["control_high"]
    words, verdict, observed = found["lines"]
    assert words.endswith(", ar") and observed.startswith("Observed, not intervened")
    assert ("explains no more than shuffled" in verdict) == (share["q"] > 0.05)


def test_a_heat_map_and_the_strongest_images(mini_workspace: Path, strongest: int) -> None:
    heat = asked(mini_workspace, "heatmap", str(strongest), "--x", "visible_gender", "--y", "place")
    cells = heat["tables"]["mean (images)"]
    images = public.open("mini", workspace=mini_workspace).samples["image_id"].n_unique()
    assert sum(cell["images"] for cell in cells) == images
    top = asked(mini_workspace, "top", str(strongest), "--top-k", "3")["tables"]["strongest"]
    values = [row["value"] for row in top]
    assert values == sorted(values, reverse=True) and len({row["image_id"] for row in top}) == 3
    by = asked(mini_workspace, "top", str(strongest), "--by", "visible_gender", "--top-k", "1")
    rows = by["tables"]["strongest by visible_gender"]
    assert max(row["value"] for row in rows) == values[0]


def test_two_features_side_by_side(mini_workspace: Path, strongest: int) -> None:
    same = asked(mini_workspace, "compare", str(strongest), str(strongest))
    assert same["lines"][0].startswith("cosine of the decoder rows 1.000; correlation of the activations 1.000")
    other = asked(mini_workspace, "compare", str(strongest), "0", "--other-layer", "33")
    assert [row["layer"] for row in other["tables"]["statistics"]] == [17, 33]


def test_varied_inputs_change_what_they_should(mini_workspace: Path, strongest: int) -> None:
    words = ("sweep", str(strongest), "--intervene", "--family", "mood", "--images", "3")
    swept = asked(mini_workspace, *words)
    assert swept["lines"][0] == "Intervened: mood varied in 3 test images, en, everything else fixed."
    assert sum(row["mean"] for row in swept["tables"]["effects"]) == pytest.approx(0, abs=1e-6)
    heat = asked(
        mini_workspace, "heatmap", str(strongest), "--x", "gender", "--y", "mood", "--intervene", "--images", "2"
    )
    assert {cell["images"] for cell in heat["tables"]["mean (images)"]} == {2}
    word = asked(
        mini_workspace, "sweep", str(strongest), "--intervene", "--word", "a", "--with", "one", "--images", "2"
    )
    assert [row["value"] for row in word["tables"]["effects"]] in (["a", "one"], ["one", "a"])


def test_terminal_and_page_show_the_same(mini_workspace: Path, strongest: int, tmp_path: Path) -> None:
    words = ("feature", "overview", str(strongest), *AT)
    shown = saeflow_here(mini_workspace, *words).stdout
    assert "nearest decoder rows" in shown and f"feature {strongest} of layer 17 · mini" in shown
    page = tmp_path / "feature.html"
    assert saeflow_here(mini_workspace, *words, "--html", str(page)).returncode == 0
    text = page.read_text("utf-8")
    assert "nearest decoder rows" in text and '<td dir="auto">' in text and "http" not in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("overview", "999", *AT), "feature 999 is out of range; the layer has features 0-127"),
        (("overview", *AT), "say which feature, as in `saeflow feature overview 17`"),
        (("overview", "1", "--study", "mini"), "say which layer, as in --layer 17; there are 0, 9, 17, 33"),
        (("overview", "1", "--study", "mini", "--layer", "5"), "layer 5 is not there (there are 0, 9, 17, 33)"),
        (("overview", "1", "--study", "nobodys"), "nobodys"),
        (("sweep", "1", "--family", "weather", *AT), "the samples have no attribute 'weather'; there are "),
        (("sweep", "1", "--language", "fr", *AT), "--language fr: the study has en, ar"),
        (("sweep", "1", "--where", "margin", *AT), "no row of 'en' is in margin; there are "),
        (("heatmap", "1", "--x", "place", "--y", "place", *AT), "'place' is asked for twice"),
        (("sweep", "1", "--intervene", *AT), "name one attribute with --family, or a word with --word and another"),
        (
            ("sweep", "1", "--intervene", "--family", "weather", *AT),
            "'weather' cannot be changed in a scene; profession",
        ),
        (("sweep", "1", "--intervene", "--word", "xyz", "--with", "a", *AT), "no en caption has the word 'xyz'"),
        (
            ("overview", "1", "--html", "/nowhere/page.html", *AT),
            "--html /nowhere/page.html: No such file or directory",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_not_there_is_told_in_one_line(mini_workspace: Path, words: tuple[str, ...], told: str) -> None:
    ended = saeflow_here(mini_workspace, "feature", *words)
    assert ended.returncode == 1 and told in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_a_workspace_without_studies_says_so(tmp_path: Path) -> None:
    told = saeflow_here(tmp_path, "feature", "overview", "1")
    assert told.returncode == 1 and "no study has run in" in told.stderr


def test_labels_are_set_listed_exported_and_imported(mini_workspace: Path, tmp_path: Path) -> None:
    mine, theirs = (tmp_path / name for name in ("mine", "theirs"))
    for place in (mine, theirs):
        place.mkdir()
        for name in ("artifacts", "studies"):
            (place / name).symlink_to(mini_workspace / name)
    words = ("feature", "label")
    for text in ("people", "امرأة"):
        told = saeflow_here(mine, *words, "set", "5", text, "--author", "me", *AT)
        assert told.returncode == 0 and text in told.stdout, told.stderr
    (row,) = json.loads(saeflow_here(mine, *words, "list", *AT, "--json").stdout)["tables"]["labels"]
    assert (row["feature"], row["text"], row["author"]) == (5, "امرأة", "me")
    file = tmp_path / "labels.json"
    assert saeflow_here(mine, *words, "export", str(file), "--study", "mini").returncode == 0
    assert (
        "2 changes of labels in labels.json, 2 of them new here"
        in saeflow_here(theirs, *words, "import", str(file)).stdout
    )
    assert (
        "2 changes of labels in labels.json, 0 of them new here"
        in saeflow_here(theirs, *words, "import", str(file)).stdout
    )
    shown = json.loads(saeflow_here(theirs, *words, "show", "5", *AT, "--json").stdout)
    assert shown["lines"] == ["label: امرأة"] and len(shown["tables"]["history"]) == 2
    file.write_text("{}")
    assert "labels.json: is no labels file" in saeflow_here(theirs, *words, "import", str(file)).stderr
