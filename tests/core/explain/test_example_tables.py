"""Tables of examples made elsewhere: read block by block, checked, and the windows cut out of them."""

from pathlib import Path

import polars as pl
import pytest

from core.errors import BadInput
from core.explain.example_tables import features_in, read_examples
from core.explain.example_windows import windows_of_examples
from core.explain.tables import ACTIVATION_EXAMPLES, WINDOWS
from core.reading.example_tables import table_saes
from core.store.hashes import HashMemo
from core.study.catalogue import CatalogueConfig
from tests.core.explain.planted_features import CAPTION, FEATURES, NEVER
from tests.core.explain.test_example_windows import CONFIG, table

NAMES = ("gemma/layer_30", "gemma/layer_30-frozen", "nameless")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted examples as those of three SAEs, with the columns that older tables have."""
    path = tmp_path_factory.mktemp("elsewhere") / "activation_examples.parquet"
    own = table().drop("language", "sample_id", "image", "map_cells")
    renamed = [own.with_columns(sae_id=pl.lit(name)) for name in NAMES]
    pl.concat(renamed).with_columns(pl.col("feature_id").cast(pl.Int64)).write_parquet(path)
    return path


def config(**features: object) -> CatalogueConfig:
    return CatalogueConfig.model_validate({"name": "e", "examples_table": "t", "features": features or {"by": "all"}})


def test_a_block_has_the_windows_that_the_whole_table_gives(file: Path) -> None:
    given = read_examples(file, NAMES[0], [CAPTION])
    assert given.examples.schema == ACTIVATION_EXAMPLES and given.examples["feature_id"].unique().to_list() == [CAPTION]
    whole = read_examples(file, NAMES[0], range(FEATURES))
    assert whole.examples.height > given.examples.height and given.prompts.height == whole.prompts.height
    alone = windows_of_examples(given.examples, CONFIG, given.prompts)
    among = windows_of_examples(whole.examples, CONFIG).filter(feature_id=CAPTION)
    assert alone.schema == WINDOWS and alone.equals(among) and alone.filter(kind="random").height == CONFIG.random


def test_features_are_chosen_by_how_often_they_fire_or_by_number(file: Path, tmp_path: Path) -> None:
    memo, counts = HashMemo(tmp_path / "hashes.json"), features_in(file).filter(sae_id=NAMES[0])
    firing = counts.filter(pl.col("rows") > 0)
    saes = table_saes(config(), file, memo)
    assert [(sae.sae_id, sae.layer) for sae in saes] == [(NAMES[0], 30), (NAMES[1], 30), (NAMES[2], None)]
    assert saes[0].features == tuple(firing["feature_id"]) and NEVER not in saes[0].features
    most = table_saes(config(by="frequency", per_layer=2), file.parent, memo)[0].features
    assert set(most) == set(firing.sort("rows", "feature_id", descending=[True, False])["feature_id"][:2])
    chosen = table_saes(config(only={30: [CAPTION]}), file, memo)
    assert [(sae.sae_id, sae.features) for sae in chosen] == [(NAMES[0], (CAPTION,)), (NAMES[1], (CAPTION,))]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"by": "concept"}, "features.by: a table of examples ranks nothing"),
        ({"only": {30: [900]}}, "features.only: feature 900 of gemma/layer_30 is not in the table"),
        ({"only": {7: [1]}}, "features: none of activation_examples.parquet is chosen; its SAEs are gemma/layer_30, "),
    ],
)
def test_what_cannot_be_chosen_is_told(file: Path, tmp_path: Path, features: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        table_saes(config(**features), file, HashMemo(tmp_path / "hashes.json"))


def test_a_table_that_is_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"examples_table: .*activation_examples.parquet is not there; name a folder"):
        table_saes(config(), tmp_path, HashMemo(tmp_path / "hashes.json"))


PAIRS = ACTIVATION_EXAMPLES["activation_pairs"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (pl.lit(None, pl.List(pl.String)).alias("prompt_tokens"), "column 'prompt_tokens' has nulls"),
        (pl.lit("x").alias("prompt_id"), "column 'prompt_id' is String, not UInt32"),
        (pl.lit(9, pl.UInt32).alias("num_activations"), "num_activations is not the length of activation_pairs"),
        (
            pl.lit([{"token_position": 9000, "activation_value": 1.0}], PAIRS).alias("activation_pairs"),
            "has a token_position beyond its tokens",
        ),
    ],
)
def test_a_damaged_column_is_told(tmp_path: Path, changed: pl.Expr, words: str) -> None:
    path = tmp_path / "activation_examples.parquet"
    table().with_columns(changed).write_parquet(path)
    with pytest.raises(BadInput, match=words):
        read_examples(path, "s/layer_0", [CAPTION])


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    path = tmp_path / "activation_examples.parquet"
    path.write_text("nothing")
    with pytest.raises(BadInput, match="cannot be read as a table of examples"):
        features_in(path)
    table().drop("activation_pairs").write_parquet(path)
    with pytest.raises(BadInput, match="activation_pairs"):
        features_in(path)
