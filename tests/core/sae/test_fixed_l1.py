"""A fixed L1 weight in place of steering towards `k`: exactly one of the two applies."""

from pathlib import Path

import pytest
import torch

from core.errors import BadInput
from core.planning.graph import plan_study
from core.planning.loading import load_study
from core.planning.located import Shape, Sources
from core.planning.study import Study
from core.sae.penalised import FixedL1, selection_of
from core.sae.schedule import Schedule
from core.sae.training import Run, train
from core.study.sae import SAEConfig
from tests.core.sae.dictionary import planted_rows

STUDIES = Path(__file__).parents[3] / "deployments" / "studies"
CONFIG = SAEConfig(architecture="relu", expansion=3, epochs=3, batch_size=64, seed=5)
SHAPE = Shape(images=48, num_layers=34, d_model=64, has_images=True)


def study(*overrides: str) -> Study:
    return load_study(STUDIES / "mini.yaml", overrides)


def test_a_larger_weight_leaves_fewer_features_and_stays_as_it_is(tmp_path: Path) -> None:
    rows, active = planted_rows(), []
    for weight in (0.3, 3.0):
        config = CONFIG.model_copy(update={"l1_coefficient": weight})
        run = Run.prepare(rows, config)
        state = run.start()
        assert not state.weights["b_enc"].any()
        run.steps(state, tmp_path / str(weight), lambda *_: None)
        assert state.controls.pressure == weight
        active.append(run.export(state).encode(rows.held_out.float()).values.gt(0).sum(1).float().mean())
    assert active[0] > 2 * active[1] > 0


def test_k_is_not_read_beside_it(tmp_path: Path) -> None:
    rows = planted_rows()
    few, many = (CONFIG.model_copy(update={"l1_coefficient": 1.0, "k": k}) for k in (2, 10_000))
    one, other = train(rows, few, tmp_path / "few"), train(rows, many, tmp_path / "many")
    assert all(torch.equal(a, b) for a, b in zip(one.sae.parameters(), other.sae.parameters(), strict=True))


def test_training_ends_early_once_it_has_settled(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"l1_coefficient": 1.0, "early_stop": 3, "epochs": 200, "learning_rate": 0.01})
    trained = train(planted_rows(), config, tmp_path)
    ended = trained.history.drop_nulls("held_out_fvu")
    assert 4 < len(ended) < 200
    fvu = ended["held_out_fvu"].to_list()
    assert min(fvu[-3:]) > 0.999 * min(fvu[:-3])


def test_it_belongs_to_relu_alone_and_changes_no_other_studys_fingerprints() -> None:
    with pytest.raises(BadInput, match="l1_coefficient is the penalty of architecture relu alone"):
        study("sae.l1_coefficient=0.1")
    with pytest.raises(BadInput, match=r"takes the place of k, so that a list of k changes nothing"):
        study("sae.architecture=relu", "sae.l1_coefficient=0.1", "sae.k=[4, 8]")
    with pytest.raises(BadInput, match=r"sae\.l1_coefficient: 0 is wrong"):
        study("sae.architecture=relu", "sae.l1_coefficient=0")
    own = study("sae.architecture=relu", "sae.l1_coefficient=[1e-2, 5e-4]")
    assert list(own.sae.variants()) == ["l1-0.01", "l1-0.0005"]
    assert Study.model_validate(own.model_dump(mode="json")) == own
    # recorded before the field was there: a recipe without it is the recipe of then
    recipes = [unit.recipe for unit in plan_study(study(), Sources("data", "model"), SHAPE)]
    assert "l1_coefficient" not in str(recipes)
    steered, fixed = SAEConfig(architecture="relu"), CONFIG.model_copy(update={"l1_coefficient": 2.0})
    schedule = Schedule.of(CONFIG, 100, 64)
    assert not isinstance(selection_of(steered, schedule), FixedL1)
    assert isinstance(selection_of(fixed, schedule), FixedL1)
