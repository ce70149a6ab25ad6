"""A catalogue's units: what a change recomputes, and what it leaves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import BadInput
from core.explain.chosen import CatalogueSAE, ExampleTable
from core.planning.catalogue import CataloguePlan, plan_catalogue
from core.planning.catalogue_file import CATALOGUE_FILES
from core.planning.catalogue_sources import CatalogueSources, FoundEmbedder
from core.planning.model_source import FoundModel
from core.store.artifacts import Artifact
from core.study.catalogue import CatalogueConfig

CONFIG: dict[str, Any] = {
    "name": "tiny",
    "study": "cats",
    "block": 100,
    "profiles": {"one": {"url": "http://127.0.0.1:1/v1", "model": "m"}},
    "explainers": [{"name": "words", "kind": "enriched_words"}, {"name": "chat", "kind": "chat", "profile": "one"}],
    "scorers": [
        {"name": "near", "kind": "embedding"},
        {"name": "judge", "kind": "detection", "profile": "one"},
    ],
    "embedders": {"small": {"model": "package:small"}},
}


def sae(layer: int, features: tuple[int, ...], end: str = "", promotes: bool = True) -> CatalogueSAE:
    inputs = {
        role: (Artifact(role, f"{layer}{end}"),) for role in ("samples", "shards", "layer", "sae", "index", "described")
    }
    return CatalogueSAE(f"cats/layer_{layer}{end}", layer, features, inputs, promotes)


def plan(saes: tuple[CatalogueSAE, ...] | None = None, **changes: Any) -> CataloguePlan:
    config = CatalogueConfig.model_validate({**CONFIG, **changes})
    embedders = {name: FoundEmbedder(name, Path("/small"), "c0ffee") for name in config.embedders}
    known = {
        "/models/local": FoundModel("f00d", None, Path("/models/local"), None),
        "package:packed": FoundModel("beef", "packed", None, None),
    }
    models = {one.model: known[one.model] for one in (*config.explainers, *config.scorers) if one.model is not None}
    return plan_catalogue(config, CatalogueSources(saes or (sae(3, (1, 5, 205)),), models, embedders))


def new(before: CataloguePlan, after: CataloguePlan) -> set[str]:
    """The labels of units that are not those of `before`."""
    there = {unit.artifact for unit in before}
    return {unit.label for unit in after if unit.artifact not in there}


PUBLISHED = {"publish_catalogue", "report_catalogue"}


def given(content: str = "c0de") -> CatalogueSAE:
    """An SAE whose examples come from a table."""
    return CatalogueSAE("gemma/layer_30", 30, (1, 205), {}, False, ExampleTable(Path("/given/examples"), content))


def test_a_table_of_examples_is_read_by_content_and_needs_no_study() -> None:
    words = [{"name": "words", "kind": "enriched_words"}]
    fields = {"study": "", "examples_table": "/given", "explainers": words}
    made = plan((given(),), **fields)
    assert [unit.name for unit in made.stages["examples"]] == ["gemma-layer_30-000", "gemma-layer_30-002"]
    assert all(not unit.inputs for unit in made.stages["examples"])
    assert made.tables.inputs["index"] == () and made.tables.recipe["saes"] == []
    assert new(made, plan((given(),), **{**fields, "examples_table": "/elsewhere"})) == {"report_catalogue"}
    assert {unit.label for unit in plan((given("f00"),), **fields)} == new(made, plan((given("f00"),), **fields))


def test_what_a_table_of_examples_does_not_say_is_told() -> None:
    fields = {"study": "", "examples_table": "/given", "explainers": [{"name": "p", "kind": "promoted"}]}
    with pytest.raises(BadInput, match=r"explainers: p: .* is not known from a table of examples; leave"):
        plan((given(),), **fields)
    fields = {**fields, "explainers": [{"name": "w", "kind": "enriched_words"}]}
    with pytest.raises(BadInput, match="scorers: pairs: a table of examples names no twins; leave"):
        plan((given(),), **fields, scorers=[{"name": "pairs", "kind": "twins"}])


@pytest.mark.parametrize("fields", [{"study": ""}, {"examples_table": "/given"}])
def test_a_catalogue_has_one_source(fields: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="made from a study or from an examples_table"):
        CATALOGUE_FILES.parse({**CONFIG, **fields}, "tiny.yaml")


def test_units_are_per_layer_block_explainer_scorer_and_embedder() -> None:
    stages = {stage: len(units) for stage, units in plan().stages.items()}
    assert stages == {"examples": 2, "explain": 4, "embed": 2 + 4 + 2, "score": 8, "publish": 1, "report": 1}
    made = plan()
    assert [unit.name for unit in made.stages["examples"]] == ["3-000", "3-002"]
    assert {unit.step for unit in made.stages["score"]} == {"score_explanations"}
    judges = [{"name": "own", "kind": "detection", "model": "/models/local"}]
    assert {unit.step for unit in plan(scorers=judges).stages["score"]} == {"score_locally"}


def test_what_scorers_compare_is_embedded_once_for_all_explainers() -> None:
    made, twins = plan(), {"name": "pairs", "kind": "twins"}
    texts = {unit.artifact for unit in made if unit.step == "embed_scored"}
    near = [unit for unit in made.stages["score"] if "vectors of texts" in unit.inputs]
    assert len(near) == 4 and {unit.inputs["vectors of texts"][0] for unit in near} == texts and len(texts) == 2
    assert all("embedder" not in unit.recipe for unit in made.stages["score"] if unit not in near)
    by_words = plan(scorers=[CONFIG["scorers"][1]])
    assert not [unit for unit in by_words if unit.step == "embed_scored"]
    both = plan(scorers=[*CONFIG["scorers"], twins])
    assert [unit.recipe["twins"] for unit in both if unit.step == "embed_scored"] == [True, True]
    assert made.record()["tables"] == made.tables.artifact.ref and made.name == "tiny"


def test_a_feature_that_is_added_recomputes_its_block_alone() -> None:
    added = new(plan(), plan((sae(3, (1, 5, 7, 205)),)))
    assert added and all("[3-000" in label or label in PUBLISHED for label in added)
    layer = new(plan(), plan((sae(3, (1, 5, 205)), sae(4, (1,)))))
    assert layer and all("[4-" in label or label in PUBLISHED for label in layer)


def test_an_explainer_that_is_added_recomputes_nothing_of_the_others() -> None:
    more = [*CONFIG["explainers"], {"name": "promoted", "kind": "promoted"}]
    added = new(plan(), plan(explainers=more))
    assert {label for label in added if "promoted" not in label} == PUBLISHED
    assert {label.partition("[")[0] for label in added} == {
        "explain_features",
        "embed_explanations",
        "score_explanations",
        *PUBLISHED,
    }


def test_a_scorer_that_is_added_leaves_explanations_and_embeddings() -> None:
    more = [*CONFIG["scorers"], {"name": "marks", "kind": "fuzz", "profile": "one"}]
    added = new(plan(), plan(scorers=more))
    assert {label for label in added if "marks" not in label} == PUBLISHED


def test_an_embedder_that_is_added_leaves_the_first_one_s_work() -> None:
    more = {**CONFIG["embedders"], "large": {"model": "package:large"}}
    added = new(plan(), plan(embedders=more))
    assert all("large" in label or label in PUBLISHED for label in added) and len(added) == 6 + 2


@pytest.mark.parametrize(
    "knobs",
    [
        {"concurrency": 9},
        {"requests_per_minute": 5},
        {"retries": 0},
        {"timeout": 3},
        {"price_prompt": 2.0},
        {"budget": {"tokens": 5}},
        {"key_from": "SOME_KEY"},
    ],
)
def test_how_a_profile_is_asked_decides_nothing(knobs: dict[str, Any]) -> None:
    profiles = {"one": {**CONFIG["profiles"]["one"], **knobs}}
    assert new(plan(), plan(profiles=profiles)) == set()


@pytest.mark.parametrize("decides", [{"model": "other"}, {"url": "http://127.0.0.1:2/v1"}, {"pictures": True}])
def test_who_is_asked_recomputes_what_was_asked(decides: dict[str, Any]) -> None:
    profiles = {"one": {**CONFIG["profiles"]["one"], **decides}}
    added = new(plan(), plan(profiles=profiles))
    assert {label for label in added if "chat" not in label and "judge" not in label} == PUBLISHED
    assert any(label.startswith("explain_features[3-000-chat") for label in added)


def test_a_frozen_dictionary_has_units_of_its_own() -> None:
    made = plan((sae(3, (1,)), sae(3, (9,), "-frozen")))
    assert [unit.name for unit in made.stages["examples"]] == ["3-000", "3-frozen-000"]
    assert made.tables.recipe["saes"] == ["cats/layer_3", "cats/layer_3-frozen"]


def test_a_local_model_answers_on_a_gpu_and_a_package_is_converted_first() -> None:
    local = [{"name": "own", "kind": "transformers", "model": "/models/local"}]
    made = plan(explainers=local)
    assert {unit.step for unit in made.stages["explain"]} == {"explain_locally"}
    packed = plan(explainers=[{"name": "own", "kind": "transformers", "model": "package:packed"}])
    (convert,) = packed.stages["prepare"]
    assert all(unit.inputs["model"] == (convert.artifact,) for unit in packed.stages["explain"])
    assert next(iter(packed.stages)) == "prepare"


def test_what_is_not_known_to_be_promoted_is_told() -> None:
    promoted = [{"name": "out", "kind": "promoted"}]
    told = r"explainers: out: what the features of cats/layer_3 promote is not known"
    headless = sae(3, (1,), promotes=False)
    with pytest.raises(BadInput, match=f"{told}: no vocabulary head"):
        plan((headless,), explainers=promoted)
    older = replace(headless, inputs={role: found for role, found in headless.inputs.items() if role != "described"})
    with pytest.raises(BadInput, match=f"{told} yet; run the study again"):
        plan((older,), explainers=promoted)


def test_a_key_is_in_no_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "very-secret")
    profiles = {"one": {**CONFIG["profiles"]["one"], "key_from": "SOME_KEY"}}
    assert "very-secret" not in str([unit.to_json() for unit in plan(profiles=profiles)])


def test_a_larger_budget_is_the_same_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    assert CATALOGUE_FILES.load(file, ["profiles.one.budget.tokens=5", "block=7"]).title == "tiny"
    assert CATALOGUE_FILES.load(file, ["profiles.one.model=x"]).title == "tiny · profiles.one.model=x"
