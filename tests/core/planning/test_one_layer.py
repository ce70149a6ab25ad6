"""The report of one layer reads that layer alone, and takes what the study has made of it already."""

from core.planning.one_layer import LayerPlan, plan_layer
from core.study.variant import title
from tests.core.planning.test_graph import plan


def units(found: LayerPlan) -> dict[str, object]:
    return {unit.step: unit for unit in found.analyses}


def test_the_analyses_are_those_that_need_no_other_layer() -> None:
    found = plan_layer(plan(), 17)
    assert {"ablation", "interpretation", "overview"} <= units(found).keys() and "evolution" not in units(found)
    assert "compares layers" in found.report.recipe["skipped"]["evolution"]
    assert all(unit.recipe["layers"] == [17] for unit in found.analyses)
    without = plan_layer(plan("analyses.ablation=null"), 17)
    assert "ablation" not in units(without) and without.report.recipe["skipped"]["ablation"] == "not in the study"


def test_everything_is_made_from_this_layer_alone() -> None:
    study = plan()
    found = plan_layer(study, 9)
    own = {unit.artifact for unit in found}
    steps = ("extract_layer", "train_sae", "index_features", "rank_features", "describe_features")
    layered = {unit.artifact: unit.name for unit in study if unit.step in steps}
    assert {layered[artifact] for artifact in own if artifact in layered} == {"9"}
    read = [role for unit in (*found.analyses, found.report) for role in unit.inputs.values()]
    inputs = {artifact for role in read for artifact in role}
    assert inputs <= own and len(found.record()["artifacts"]) == len(own)


def test_an_analysis_that_the_study_runs_on_this_layer_alone_is_made_once() -> None:
    study = plan("analyses.ablation.layers=[17]")
    (ablation,) = (unit for unit in study.stage("analyse") if unit.step == "ablation")
    assert ablation.artifact in {unit.artifact for unit in plan_layer(study, 17).analyses}
    assert ablation.artifact not in {unit.artifact for unit in plan_layer(study, 9).analyses}


def test_its_report_stands_beside_the_study_s() -> None:
    study = plan("sae.k=5")
    found = plan_layer(study, 17)
    assert found.report.artifact != study.report.artifact != plan_layer(study, 9).report.artifact
    assert title(found.report.recipe["study"]) == "demo · sae.k=5 · layer 17"
    assert found.folder == "demo+sae.k=5+layer=17" and found.key != study.key
    assert found.record()["layer"] == 17
