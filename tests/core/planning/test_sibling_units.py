"""A second seed of each layer's SAE is an input of the analyses that ask for it, and of no other study's."""

from pathlib import Path

from core.planning.builders.saes import siblings
from core.planning.graph import Plan, plan_study
from core.planning.loading import load_study
from core.planning.located import Shape, Sources

DEMO = Path(__file__).parents[3] / "deployments" / "studies" / "demo.yaml"
SHAPE = Shape(images=120, num_layers=34, d_model=64, has_images=True, vision_layers=27, vision_width=48)


def plan(*overrides: str) -> Plan:
    return plan_study(load_study(DEMO, ("analyses.alignment={}", *overrides)), Sources("data", "model"), SHAPE)


def test_siblings_differ_in_the_seed_alone() -> None:
    study = load_study(DEMO, ("sae.k=[4, 8]", "sae.seed=[0, 1, 5]"))
    found = siblings(study)
    assert [found[f"k4-seed{seed}"] for seed in (0, 1, 5)] == ["k4-seed1", "k4-seed5", "k4-seed0"]
    assert found["k8-seed5"] == "k8-seed0" and len(found) == 6
    assert siblings(load_study(DEMO, ("sae.k=[4, 8]",))) == siblings(load_study(DEMO, ())) == {}


def test_the_analyses_that_ask_for_it_read_every_seed_of_their_layers() -> None:
    found = plan("sae.seed=[0, 1]", "sae.frozen=true", "analyses.evolution.layers=[3, 7]")
    units = {unit.step: unit for unit in found.stage("analyse")}
    trained = {unit.name: unit.artifact for unit in found.stage("train_sae")}
    expected = tuple(trained[f"{layer}-seed{seed}"] for layer in (3, 7) for seed in (0, 1))
    assert units["evolution"].inputs["seeds"] == expected
    assert len(units["alignment"].inputs["seeds"]) == 68
    assert units["alignment"].recipe["siblings"] == {"seed0": "seed1", "seed1": "seed0"}
    assert "seeds" not in units["overview"].inputs and "siblings" not in units["overview"].recipe
    assert len(found.stage("index_features")) == 68, "no index is made of a second seed"


def test_with_one_seed_nothing_is_added() -> None:
    for unit in plan().stage("analyse"):
        assert "seeds" not in unit.inputs and "siblings" not in unit.recipe
