"""A frozen decoder stays the random directions it starts from, while the encoder learns to use them."""

from pathlib import Path
from typing import get_args

import pytest
import torch

from core.sae.formats import Origin, load_sae, save_sae
from core.sae.metrics import evaluate
from core.sae.rows import Rows
from core.sae.training import Run, train
from core.study.sae import Architecture, SAEConfig
from tests.core.sae.dictionary import plant, planted_rows
from tests.core.sae.test_training import Fuse, Killed, same

ARCHITECTURES = get_args(Architecture)
CONFIG = SAEConfig(expansion=3, k=3, epochs=20, batch_size=128, seed=5)


def frozen(config: SAEConfig) -> SAEConfig:
    return config.model_copy(update={"frozen_decoder": True})


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Sums of three of 48 planted atoms in 32 dimensions."""
    _, x = plant(d_model=32, atoms=48, rows=5000, active=3)
    return Rows(x[1000:], x[:1000], {})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_decoder_stays_the_encoder_learns_and_a_trained_decoder_rebuilds_better(
    rows: Rows, tmp_path: Path, architecture: Architecture
) -> None:
    config = CONFIG.model_copy(update={"architecture": architecture, "k": 6})
    run, learnt = Run.prepare(rows, frozen(config)), train(rows, frozen(config), tmp_path / "frozen")
    start = run.start()
    assert torch.equal(learnt.sae.W_dec, start.weights["decoder"])
    assert torch.equal(learnt.sae.W_dec, Run.prepare(rows, config).start().weights["decoder"])  # its SAE's own start
    torch.testing.assert_close(learnt.sae.W_dec.norm(dim=1), torch.ones(96))
    untrained = run.export(start)
    if architecture == "relu":  # it starts with twice the features firing, and shrinks what it keeps
        before = (rows.held_out - untrained.b_dec) @ untrained.W_enc + untrained.b_enc
        fires = round(learnt.quality.metrics["held_out_l0"] * len(before))
        untrained.b_enc -= before.flatten().sort(descending=True).values[fires]
    trained = train(rows, config, tmp_path / "trained").quality.metrics
    start_fvu = evaluate(untrained, rows.held_out).fvu
    assert trained["held_out_fvu"] < learnt.quality.metrics["held_out_fvu"] < start_fvu
    assert learnt.quality.metrics["held_out_l0"] == pytest.approx(trained["held_out_l0"], rel=0.25)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_dead_features_are_revived_through_the_encoder_alone(tmp_path: Path, ema: float | None) -> None:
    rows = planted_rows(d_model=16, atoms=64, rows=2400, active=3)
    config = SAEConfig(expansion=8, k=2, epochs=20, batch_size=128, learning_rate=0.03, frozen_decoder=True, ema=ema)
    dead = {}
    for alpha in (0.0, 1 / 8):
        own = config.model_copy(update={"auxk_alpha": alpha})
        trained = train(rows, own, tmp_path / str(alpha))
        assert torch.equal(trained.sae.W_dec, Run.prepare(rows, own).start().weights["decoder"])
        dead[alpha] = trained.quality.metrics["dead_fraction"]
    assert dead[1 / 8] < dead[0.0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_other_gradients_are_those_beside_a_trained_decoder(rows: Rows, architecture: Architecture) -> None:
    config, dead = CONFIG.model_copy(update={"architecture": architecture}), torch.tensor([0, 7, 50])
    found = []
    for own in (config, frozen(config)):
        run = Run.prepare(rows, own)
        x = rows.train[:64] / run.scale
        found.append(run.objective(run.start(), x, x, dead, 3).gradients)
    trained, kept = found
    assert trained.keys() - kept.keys() == {"decoder"}
    assert all(torch.equal(kept[name], trained[name]) for name in kept)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_killed_and_resumed_it_ends_as_an_undisturbed_one(tmp_path: Path, architecture: Architecture) -> None:
    rows = planted_rows()
    settings = {"architecture": architecture, "ema": 0.9, "checkpoint_every": 7, "epochs": 4, "batch_size": 64}
    config = frozen(CONFIG.model_copy(update=settings))
    undisturbed = train(rows, config, tmp_path / "undisturbed")
    with pytest.raises(Killed):
        train(rows, config, tmp_path / "killed", Fuse(25, Killed))
    fuse = Fuse(10_000, Killed)
    resumed = train(rows, config, tmp_path / "killed", fuse)
    assert fuse.first == 22 and same(undisturbed, resumed)


def test_a_checkpoint_of_a_trained_decoder_is_not_continued(tmp_path: Path) -> None:
    rows = planted_rows()
    train(rows, CONFIG, tmp_path)
    assert same(train(rows, frozen(CONFIG), tmp_path), train(rows, frozen(CONFIG), tmp_path / "fresh"))


def test_its_files_say_that_it_is_frozen_and_load_as_any_other(rows: Rows, tmp_path: Path) -> None:
    run = Run.prepare(rows, frozen(CONFIG))
    sae = run.export(run.start())
    save_sae(sae, tmp_path / "sae", Origin("model", 3, frozen_decoder=True))
    save_sae(sae, tmp_path / "other", Origin("model", 3))
    assert '"frozen_decoder": true' in (tmp_path / "sae" / "cfg.json").read_text("utf-8")
    assert "frozen" not in (tmp_path / "other" / "cfg.json").read_text("utf-8")
    assert torch.equal(load_sae(tmp_path / "sae").W_dec, sae.W_dec)
