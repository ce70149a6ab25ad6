"""A catalogue for Neuronpedia, read back by an independent reader, and as CSV."""

import csv
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.errors import BadInput
from core.explain import neuronpedia
from core.explain.csv_export import export_csv
from core.explain.neuronpedia import STATISTICS, Beside, Release, export_neuronpedia
from core.features.influence import PROMOTED
from tests.core.explain.neuronpedia_reader import read_tree
from tests.core.explain.planted_features import FEATURES, IMAGE_ALONE, NEVER
from tests.core.explain.published_catalogue import publish

RELEASE = Release("gemma-3-4b-it", 17, "saeflow-res-20k", "saeflow", "Features of a study", "me", layers=34)
SAE = "s/layer_0"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pl.DataFrame]]:
    folder = tmp_path_factory.mktemp("exports") / "published"
    return folder, publish(folder)


def beside() -> Beside:
    words = [(2, direction, rank, 5, f" {direction}{rank}", 1.0 / rank)
             for direction in ("promoted", "suppressed") for rank in range(1, 14)]  # fmt: skip
    return Beside(
        pl.DataFrame({"feature": [2], "density": [0.125]}, schema=STATISTICS),
        pl.DataFrame(words, schema=PROMOTED, orient="row"),
        most=4,
    )


def test_the_tree_has_the_fields_that_neuronpedia_publishes(
    catalogue: tuple[Path, dict[str, pl.DataFrame]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = catalogue
    monkeypatch.setattr(neuronpedia, "BATCH", 5)
    place = export_neuronpedia(folder, tmp_path, RELEASE, SAE, beside())
    assert place == tmp_path / "gemma-3-4b-it" / "17-saeflow-res-20k"
    assert len(list((place / "features").iterdir())) == 3
    found = read_tree(place)
    assert [row["index"] for row in found["features"]] == [str(feature) for feature in range(FEATURES)]
    assert {row["layer"] for rows in ("features", "activations", "explanations") for row in found[rows]} == {
        "17-saeflow-res-20k"
    }
    feature = found["features"][2]
    assert (feature["frac_nonzero"], feature["pos_str"][0], len(feature["neg_values"])) == (0.125, " promoted1", 10)
    assert (feature["topkCosSimIndices"], feature["topkCosSimValues"]) == ([3], [0.5])
    assert found["features"][NEVER]["maxActApprox"] == 0
    texts = [(int(row["index"]), row["description"], row["explanationModelName"]) for row in found["explanations"]]
    main = whole["features"].select("feature_id", "explanation_text", "llm_explainer").rows()
    assert texts == main
    assert (found["model"][0]["instruct"], found["model"][0]["layers"]) == (True, 34)


def test_activations_are_the_strongest_examples_with_tokens(
    catalogue: tuple[Path, dict[str, pl.DataFrame]], tmp_path: Path
) -> None:
    folder, whole = catalogue
    found = read_tree(export_neuronpedia(folder, tmp_path, RELEASE, SAE, beside()))
    examples = whole["activation_examples"]
    assert {int(row["index"]) for row in found["activations"]} == set(range(FEATURES)) - {NEVER, IMAGE_ALONE}
    for feature in (2, 8):
        own = [row for row in found["activations"] if row["index"] == str(feature)]
        peaks = sorted(
            (
                max(pair["activation_value"] for pair in row["activation_pairs"])
                for row in examples.filter(feature_id=feature).to_dicts()
                if row["activation_pairs"]
            ),
            reverse=True,
        )
        assert [row["maxValue"] for row in own] == pytest.approx(peaks[:4])
        assert found["features"][feature]["maxActApprox"] == pytest.approx(peaks[0])


def test_an_export_twice_is_refused_and_an_unknown_sae_too(
    catalogue: tuple[Path, dict[str, pl.DataFrame]], tmp_path: Path
) -> None:
    export_neuronpedia(catalogue[0], tmp_path, RELEASE, SAE)
    with pytest.raises(BadInput, match="is there already"):
        export_neuronpedia(catalogue[0], tmp_path, RELEASE, SAE)
    with pytest.raises(BadInput, match=r"features\.parquet: holds no SAE 'other'; name one of its column sae_id"):
        export_neuronpedia(catalogue[0], tmp_path / "new", RELEASE, "other")


def test_csv_files_hold_every_cell(catalogue: tuple[Path, dict[str, pl.DataFrame]], tmp_path: Path) -> None:
    folder, whole = catalogue
    export_csv(folder, tmp_path / "csv")
    for name in ("features", "activation_examples", "scores", "activation_example_similarity"):
        with (tmp_path / "csv" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        assert len(found) == whole[name].height
        for row, expected in zip(found, whole[name].to_dicts()):
            for column, value in expected.items():
                if isinstance(value, list | float):
                    assert _near(json.loads(row[column]), value), column
                else:
                    assert row[column] == ("" if value is None else str(value))


def _near(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(_near, found, expected))
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(map(_near, found.values(), expected.values()))
    return bool(found == pytest.approx(expected, rel=1e-6)) if isinstance(expected, float) else bool(found == expected)


def test_csv_needs_tables_and_an_empty_place(catalogue: tuple[Path, dict[str, pl.DataFrame]], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no published tables; name a catalogue's folder"):
        export_csv(tmp_path, tmp_path / "csv")
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "mine.csv").write_text("mine")
    with pytest.raises(BadInput, match="is there already"):
        export_csv(catalogue[0], tmp_path / "csv")
