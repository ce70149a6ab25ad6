"""Three of 2,767 rows at a hundred times their norm: what they do to an SAE, and that they are left out."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.activations.health import examine_layer
from core.activations.rows import TOKENS
from core.activations.table import LayerTable
from core.sae.metrics import evaluate, final_metrics
from core.sae.rows import Rows, choose_rows, load_rows
from core.sae.training import TrainedSAE, train
from core.study.sae import SAEConfig
from tests.core.sae.dictionary import plant, random_sae

ROWS, FEW, TIMES = 2767, 3, 100
CONFIG = SAEConfig(expansion=4, k=4, epochs=12, learning_rate=2e-3)


@dataclass(frozen=True)
class World:
    """A layer of 2,767 training rows and as many held-out ones, the first three of each a hundred times too large."""

    rows: Tensor
    samples: pl.DataFrame
    shard: Path
    features: Tensor

    def rows_of(self, folder: Path, max_norm_multiple: float | None) -> Rows:
        """What an SAE is given once `extract_layer` has looked at the layer."""
        examine_layer(LayerTable.open([self.shard], 0), "fail", max_norm_multiple).save(folder)
        return load_rows(LayerTable.open([self.shard], 0, folder), self.samples, CONFIG)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("layer")
    features, rows = plant(d_model=16, atoms=24, rows=2 * ROWS, active=2)
    rows += 0.1 * rows.std() * torch.randn(rows.shape, generator=torch.Generator().manual_seed(1))
    for first in (0, ROWS):
        rows[first : first + FEW] *= TIMES
    rows = rows.bfloat16()
    save_file({"activation": rows}, folder / "layer_0.en.safetensors")
    (folder / "shard.json").write_text('{"site": "resid_post", "d_model": 16}')
    names = [f"i{number}" for number in range(len(rows))]
    same = {"group": "en", "language": "en", "segment": "caption", "position": 9, "token": "t", "special": False}
    tokens = pl.DataFrame({"sample_id": names, "image_id": names}).with_columns(
        *(pl.lit(value).alias(name) for name, value in same.items()),
        *(pl.lit(0).alias(name) for name in ("row", "token_id", "char_start", "char_end")),
    )
    tokens.select(list(TOKENS)).cast(pl.Schema(TOKENS)).write_parquet(folder / "tokens.parquet")  # type: ignore[arg-type]
    splits = {"image_id": names, "split": ["train"] * ROWS + ["select"] * ROWS}
    return World(rows.float(), pl.DataFrame(splits), folder, features)


@pytest.fixture(scope="module")
def without(world: World, tmp_path_factory: pytest.TempPathFactory) -> TrainedSAE:
    """An SAE that has seen no outlier."""
    folder = tmp_path_factory.mktemp("without")
    return train(world.rows_of(folder, 10), CONFIG, folder / "checkpoints")


def test_outliers_are_left_out_of_training_and_of_every_figure_but_one(world: World, tmp_path: Path) -> None:
    rows = world.rows_of(tmp_path, 10)
    assert torch.equal(rows.train[:].float(), world.rows[FEW:ROWS])
    assert torch.equal(rows.held_out.float(), world.rows[ROWS + FEW :])
    assert rows.counts == {"caption_en": ROWS - FEW}
    moved = rows.to("meta").with_outliers
    assert moved is not None and moved.device.type == "meta"
    sae = random_sae(d_model=16)
    metrics = final_metrics(sae, rows).metrics
    assert metrics["held_out_fvu"] == evaluate(sae, world.rows[ROWS + FEW :].bfloat16()).fvu
    assert metrics["held_out_fvu_with_outliers"] == evaluate(sae, world.rows[ROWS:].bfloat16()).fvu
    assert metrics["held_out_rows"] == ROWS - FEW


def test_outliers_along_a_feature_flatter_the_sae_that_has_not_seen_them(world: World, without: TrainedSAE) -> None:
    ordinary = world.rows[ROWS + FEW :]
    norm = TIMES * ordinary.norm(dim=1).median()
    included = [torch.cat([(norm * feature).expand(FEW, -1), ordinary]) for feature in world.features]
    told = torch.tensor([evaluate(without.sae, rows).fvu for rows in included])
    assert told.median() < 0.7 * evaluate(without.sae, ordinary).fvu


def test_learning_from_them_worsens_ordinary_rows_and_flatters_the_figure(
    world: World, without: TrainedSAE, tmp_path: Path
) -> None:
    ordinary = world.rows[ROWS + FEW :]
    included = train(world.rows_of(tmp_path / "with", None), CONFIG, tmp_path / "b")
    assert "held_out_fvu_with_outliers" not in included.quality.metrics
    assert included.quality.metrics["held_out_rows"] == ROWS
    told = {name: run.quality.metrics["held_out_fvu"] for name, run in (("without", without), ("with", included))}
    assert told["with"] < 0.9 * told["without"], "it looks the better one"
    assert evaluate(included.sae, ordinary).fvu > 1.1 * evaluate(without.sae, ordinary).fvu, "and is the worse one"


def test_a_layer_without_outliers_gives_the_rows_it_gave(world: World) -> None:
    tokens = LayerTable.open([world.shard], 0).tokens
    plain = tokens.drop("outlier")
    for known in (tokens, plain):
        choice = choose_rows(known, world.samples, CONFIG)
        assert (len(choice.train), len(choice.held_out), choice.with_outliers) == (ROWS, ROWS, None)


def test_held_out_rows_with_outliers_are_those_drawn_without_a_limit(world: World) -> None:
    tokens = LayerTable.open([world.shard], 0).tokens
    many = pl.int_range(pl.len()) % 2 == 0  # half of the rows, so that a draw of 100 has some
    marked = tokens.with_columns(outlier=many, special=many)
    config = SAEConfig(max_rows=100)
    choice = choose_rows(marked, world.samples, config)
    assert choice.with_outliers is not None
    assert choice.with_outliers.tolist() == choose_rows(tokens, world.samples, config).held_out.tolist()
    assert not set(choice.held_out % 2) - {1}
