from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import BadInput
from core.planning.graph import Plan, plan_study
from core.planning.loading import load_study
from core.planning.located import Shape, Sources
from core.store.units import Unit

STUDIES = Path(__file__).parents[3] / "deployments" / "studies"
SOURCES = Sources("data", "model")
SHAPE = Shape(images=120, num_layers=34, d_model=64, has_images=True, vision_layers=27, vision_width=48)


def plan(*overrides: str, shape: Shape = SHAPE, sources: Sources = SOURCES) -> Plan:
    return plan_study(load_study(STUDIES / "demo.yaml", overrides), sources, shape)


def changed(before: Plan, after: Plan) -> set[str]:
    old = {unit.label: unit.artifact for unit in before}
    return {unit.step for unit in after if old.get(unit.label) != unit.artifact}


def test_every_layer_has_its_three_units_and_shards_cover_all_images() -> None:
    found = plan()
    assert (
        len(found.stage("extract_layer")) == len(found.stage("train_sae")) == len(found.stage("index_features")) == 34
    )
    assert [unit.recipe["images"] for unit in found.stage("capture")] == [[0, 50], [50, 100], [100, 120]]


def test_sae_settings_change_nothing_upstream() -> None:
    steps = changed(plan(), plan("sae.k=5"))
    assert not steps & {"prepare", "capture", "extract_layer"}
    assert {"train_sae", "index_features", "overview", "report"} <= steps


@pytest.mark.parametrize(
    "speed", ["capture.token_budget=999", "capture.batch_size=3", "sae.checkpoint_every=7", "tracking.experiment=other"]
)
def test_what_only_decides_speed_changes_no_fingerprint(speed: str) -> None:
    assert changed(plan(), plan(speed)) == set()


def test_an_analysis_setting_changes_that_analysis_and_the_report_alone() -> None:
    assert changed(plan(), plan("analyses.ablation.draws=200")) == {"ablation", "report"}


def test_new_weights_and_new_data_change_what_reads_them() -> None:
    assert "prepare" not in changed(plan(), plan(sources=Sources("data", "other")))
    assert "capture" in changed(plan(), plan(sources=Sources("data", "other")))
    assert "prepare" in changed(plan(), plan(sources=Sources("other", "model")))


def test_a_study_of_text_skips_what_needs_images_and_says_so() -> None:
    found = plan(shape=Shape(120, 34, 64, has_images=False))
    assert found.skipped == {"visual_patterns": "the study has no images"}
    assert "visual_patterns" not in {unit.step for unit in found.stage("analyse")}


def test_images_with_grids_of_their_own_are_laid_on_no_common_one() -> None:
    found = plan(shape=replace(SHAPE, even_images=False))
    assert "grid of its own" in found.skipped["visual_patterns"]
    assert "visual_patterns" not in {unit.step for unit in found.stage("analyse")}
    assert changed(plan(), found) == {"report"}


OWN = {"overview", "interpretation", "ablation", "amplification", "visual_patterns", "evolution", "qualitative"}


def own_analyses(found: Plan) -> set[str]:
    """Which of these the plan has; there may be others."""
    return {unit.step for unit in found.stage("analyse")} & OWN


def test_another_site_and_pooling_skip_what_changes_the_stream_and_says_so() -> None:
    added, plain = plan("capture.site=mlp_out_normed"), plan("capture.site=attn_z")
    assert own_analyses(added) == {"interpretation", "evolution"}
    assert own_analyses(plain) == {"evolution"}
    assert added.skipped["ablation"] == "it changes the residual stream, and capture.site is mlp_out_normed"
    assert "capture" in changed(plan(), added)
    pooled = plan("capture.pool=mean")
    assert own_analyses(pooled) == {"interpretation", "evolution"}
    assert pooled.skipped["ablation"] == "it changes the residual stream, and capture.pool is mean"
    off = plan("capture.site=mlp_out", "analyses.ablation=null").skipped["ablation"]
    assert off == "not in the study"


def test_what_a_field_of_an_analysis_needs_is_asked_of_studies_that_set_it() -> None:
    plain, steered = (plan("capture.pool=mean", f"analyses.contrast={text}") for text in ("{}", "{interventions: {}}"))
    assert "contrast" in {unit.step for unit in plain.stage("analyse")}
    assert steered.skipped["contrast"] == "it changes the residual stream, and capture.pool is mean"
    (whole,) = (unit for unit in plan("analyses.contrast={}").stage("analyse") if unit.step == "contrast")
    assert "interventions" not in whole.recipe["config"]
    (own,) = (
        unit for unit in plan("analyses.contrast={interventions: {}}").stage("analyse") if unit.step == "contrast"
    )
    assert own.recipe["config"]["interventions"]["norm"] == 0.2


def test_a_study_of_the_vision_tower_has_its_layers_and_leaves_out_what_reads_captions() -> None:
    tower, projector = plan("capture.site=vision_post"), plan("capture.site=projector")
    assert tower.layers == tuple(range(27)) and projector.layers == (0,)
    assert own_analyses(tower) == {"evolution"} and own_analyses(projector) == set()
    assert tower.skipped["overview"] == "it changes the residual stream, and capture.site is vision_post"
    told = "the vocabulary head reads what is added to the stream, which vision_post is not"
    assert tower.skipped["interpretation"] == told
    assert projector.skipped["evolution"] == "it compares layers, and one is captured"
    assert len(tower.stage("index_features")) == 27


def test_a_vision_site_that_is_not_there_is_told() -> None:
    with pytest.raises(BadInput, match=r"capture\.layers: layer 27 is out of range; the vision tower has layers 0-26"):
        plan("capture.site=vision_post", "capture.layers=20-30")
    with pytest.raises(BadInput, match=r"capture\.layers: layer 1 is out of range; the projector has layer 0 alone"):
        plan("capture.site=projector", "capture.layers=[0, 1]")
    with pytest.raises(BadInput, match=r"capture\.site: vision_post is read of images, and the model or the samples"):
        plan("capture.site=vision_post", shape=Shape(120, 34, 64, has_images=False))
    with pytest.raises(BadInput, match=r"capture\.site: vision_post: the model's config\.json states no layers"):
        plan("capture.site=vision_post", shape=Shape(120, 34, 64, has_images=True))
    with pytest.raises(BadInput, match=r"capture\.segments: .* capture\.site vision_post gives image rows alone"):
        plan("capture.site=vision_post", "capture.segments=[caption]")
    with pytest.raises(BadInput, match=r"sae\.k: 512 exceeds the 96 features of sae\.expansion 2"):
        plan("capture.site=vision_post", "sae.k=512", "sae.expansion=2")


def own(*overrides: str, layers: int = 3) -> Plan:
    shape = Shape(images=120, num_layers=layers, d_model=12, has_images=False)
    return plan("model.path=null", "model.factory=my.models:load", "sae.k=4", *overrides, shape=shape)


def test_a_model_of_ones_own_leaves_out_what_needs_a_language_model() -> None:
    found = own()
    assert [unit.name for unit in found.stage("train_sae")] == ["0", "1", "2"]
    assert own_analyses(found) == {"evolution"}
    assert found.skipped["overview"] == "it needs a language model, and model.factory makes another"
    assert own("analyses.ablation=null").skipped["ablation"] == "not in the study"
    assert found.stage("capture")[0].recipe["model"] == {"factory": "my.models:load", "weights": "model"}
    assert changed(found, own("model.instruction_en=Look.")) == {"report"}
    assert own(layers=1).skipped["evolution"] == "it compares layers, and one is captured"


def test_a_model_has_one_source_and_ones_own_is_not_recomputed() -> None:
    with pytest.raises(BadInput, match=r"model: give either path \(a checkpoint\) or factory"):
        plan("model.factory=my.models:load")
    with pytest.raises(BadInput, match=r"capture\.nonfinite: recompute opens a checkpoint again; with model\.factory"):
        own("capture.nonfinite=recompute")


def test_layers_that_are_not_there_are_named() -> None:
    with pytest.raises(BadInput, match=r"capture\.layers: layer 34 is out of range; the model has layers 0-33"):
        plan("capture.layers=30-34")
    with pytest.raises(BadInput, match=r"analyses\.ablation\.layers: layer 18 is not among capture\.layers \(0-16\)"):
        plan("capture.layers=0-16", "analyses.ablation.layers=[18]")


def test_layers_that_nobody_named_are_the_nearest_captured() -> None:
    found = {unit.step: unit.recipe for unit in plan("capture.layers=[9,17]").stage("analyse")}
    assert found["ablation"]["layers"] == found["ablation"]["config"]["layers"] == [9, 17]
    assert found["qualitative"]["config"]["layer"] == 17
    assert {unit.step: unit.recipe for unit in plan("capture.layers=0-8").stage("analyse")}["qualitative"][
        "layers"
    ] == [8]


def test_the_study_s_seed_is_that_of_every_analysis_and_of_nothing_else() -> None:
    before, after = ({unit.artifact for unit in plan(*words)} for words in ((), ("seed=7",)))
    changed = {artifact.step for artifact in after - before}
    assert changed == {unit.step for unit in plan().stage("analyse")} | {"report"}
    assert all(unit.recipe["seed"] == 7 for unit in plan("seed=7").stage("analyse"))


def test_a_unit_crosses_to_a_worker_as_json() -> None:
    for unit in plan():
        assert Unit.from_json(unit.to_json()).artifact == unit.artifact


def test_a_list_of_settings_trains_one_sae_for_each_and_one_is_chosen_for_all_layers() -> None:
    found, one = plan("sae.k=[4, 8]", "sae.expansion=[2, 8]"), plan("sae.k=8")
    assert len(found.stage("train_sae")) == 34 * 4
    assert [unit.label for unit in found.stage("train_sae")[:4]] == [
        f"train_sae[0-{name}]" for name in ("x2-k4", "x2-k8", "x8-k4", "x8-k8")
    ]
    assert {unit.artifact for unit in one.stage("train_sae")} <= {
        unit.artifact for unit in found.stage("train_sae")
    }  # trained once
    assert [unit.name for unit in found.saes] == [str(layer) for layer in found.layers]
    assert found.stage("index_features")[3].inputs["sae"] == (found.stage("choose_sae")[3].artifact,)
    assert one.stage("choose_sae") == () and one.saes == one.stage("train_sae")
    assert "choose_sae" not in one.stages


def test_more_active_features_than_there_are_is_refused_before_anything_runs() -> None:
    with pytest.raises(BadInput, match=r"sae\.k: 512 exceeds the 128 features of sae\.expansion 2"):
        plan("sae.k=[8, 512]", "sae.expansion=2")


def test_the_limit_of_norms_is_read_when_the_shards_are_there() -> None:
    for value in ("20", "null"):
        steps = changed(plan(), plan(f"capture.max_norm_multiple={value}"))
        assert not steps & {"prepare", "capture"}
        assert {"extract_layer", "train_sae", "index_features", "overview", "report"} <= steps


def test_promoted_tokens_are_asked_of_a_head_that_reads_the_sae() -> None:
    described = plan().stage("describe_features")
    assert [unit.name for unit in described] == [str(layer) for layer in range(34)]
    assert all(unit.recipe["model"] and "samples" not in unit.inputs for unit in described)
    for other in (plan("capture.site=attn_z"), plan("capture.site=vision_post")):
        assert all("model" not in unit.recipe for unit in other.stage("describe_features"))
