"""`sae.frozen` adds a frozen dictionary beside each SAE, and changes no unit that a study has without it."""

import pytest

from core.errors import BadInput
from core.planning.graph import Plan
from core.planning.loading import override_study, read_mapping
from core.planning.one_layer import plan_layer
from tests.core.planning.test_graph import STUDIES, plan

LAYERS = ("capture.layers=[9, 17]",)
SWEEP = (*LAYERS, "sae.k=[4, 8]")


def named(found: Plan, step: str) -> list[str]:
    return [unit.name for unit in found.stage(step)]


def test_without_it_nothing_of_a_study_says_that_it_is_there() -> None:
    for study in (plan(), plan("sae.frozen=false")):
        assert "frozen" not in str([(unit.name, unit.recipe, unit.inputs) for unit in study])
        assert "frozen" not in str(study.record()) and study.frozen == ()
    assert [unit.artifact for unit in plan()] == [unit.artifact for unit in plan("sae.frozen=false")]


def test_every_unit_but_the_report_is_the_same_with_it_and_the_new_ones_are_on_no_other_path() -> None:
    without, found = plan(*LAYERS), plan(*LAYERS, "sae.frozen=true")
    there = {unit.artifact for unit in found}
    assert [unit.step for unit in without if unit.artifact not in there] == ["report"]
    added = {unit.label for unit in found} - {unit.label for unit in without}
    steps = ("train_sae", "index_features", "describe_features")
    assert added == {f"{step}[{layer}-frozen]" for step in steps for layer in (9, 17)}
    for step in steps:
        assert named(found, step) == ["9", "17", "9-frozen", "17-frozen"]
    made = {unit.artifact for unit in found if unit.label in added}
    readers = {unit.label for unit in found for read in unit.inputs.values() if made & set(read)}
    assert readers - added == {"report"}
    assert found.report.inputs["frozen"] == tuple(unit.artifact for unit in found.frozen)


def test_it_is_trained_as_its_sae_is_but_for_the_decoder() -> None:
    found = plan(*LAYERS, "sae.frozen=true")
    for sae, frozen in zip(found.saes, found.frozen, strict=True):
        assert frozen.name == f"{sae.name}-frozen" and frozen.inputs == sae.inputs and frozen.knobs == sae.knobs
        assert frozen.recipe == {**sae.recipe, "sae": {**sae.recipe["sae"], "frozen_decoder": True}}
        (index,) = (unit for unit in found.stage("index_features") if unit.name == frozen.name)
        (described,) = (unit for unit in found.stage("describe_features") if unit.name == frozen.name)
        assert index.inputs["sae"] == described.inputs["sae"] == (frozen.artifact,)
        assert described.inputs["index"] == (index.artifact,) and index.recipe["frozen"] is True


def test_of_several_each_has_one_and_the_one_beside_the_chosen_is_taken() -> None:
    found, without = plan(*SWEEP, "sae.frozen=true"), plan(*SWEEP)
    own = ["9-k4", "9-k8", "17-k4", "17-k8"]
    assert named(found, "train_sae") == [*own, *(f"{name}-frozen" for name in own)]
    assert named(found, "choose_sae") == ["9", "17", "9-frozen", "17-frozen"]
    assert found.saes == without.saes and found.stage("choose_sae")[:2] == without.stage("choose_sae")
    trained = tuple(unit.artifact for unit in found.stage("train_sae"))
    candidates, frozen = trained[:4], trained[4:]
    for place, unit in enumerate(found.frozen):
        assert unit.step == "choose_sae" and unit.recipe == found.saes[place].recipe
        assert unit.inputs == {"candidates": candidates, "frozen": frozen}
    assert found.report.inputs["sweep"] == candidates


def test_one_layer_alone_has_its_own() -> None:
    study = plan("sae.frozen=true")
    found = plan_layer(study, 9)
    assert [unit.name for unit in found.described] == ["9", "9-frozen"]
    labels = {unit.label for unit in found}
    assert {"train_sae[9-frozen]", "index_features[9-frozen]", "describe_features[9-frozen]"} <= labels
    assert "train_sae[17-frozen]" not in labels
    assert found.report.inputs["frozen"] == (study.frozen[9].artifact,)
    assert "frozen" not in plan_layer(plan(), 9).report.inputs


def test_beside_saes_that_nobody_trains_here_it_is_refused() -> None:
    with pytest.raises(BadInput, match="frozen trains beside trained SAEs, and with pretrained none is"):
        plan("sae.frozen=true", "sae.pretrained=saes/layer_{layer}")


def test_a_variant_is_called_after_it_switched_on_or_off() -> None:
    assert plan("sae.frozen=true").study.title == "demo · sae.frozen=true"
    raw = read_mapping(STUDIES / "demo.yaml", "a study is a mapping")
    raw["sae"] |= {"frozen": True}
    assert override_study(raw, ["sae.frozen=false"], "demo").variant == "sae.frozen=false"
    assert override_study(raw, ["sae.frozen=true"], "demo").variant == ""
    raw["sae"] = {"architecture": "relu", "l1_coefficient": 0.5}
    assert override_study(raw, ["sae.l1_coefficient=null"], "demo").variant == "sae.l1_coefficient=null"
