"""Windows out of a table of examples, without the index that it came from."""

import polars as pl

from core.explain.example_windows import windows_of_examples
from core.explain.examples import activation_examples
from core.explain.tables import ACTIVATION_EXAMPLES, WINDOWS
from core.study.catalogue import ExampleConfig
from tests.core.explain.planted_features import CAPTION, planted

CONFIG = ExampleConfig(per_quantile=2, random=3, window=5)


def table() -> pl.DataFrame:
    given = planted()
    return pl.concat(activation_examples(given.index, given.tokens, given.samples, None, "s/layer_0"))


def test_windows_are_pieces_of_the_tables_prompts() -> None:
    examples = table()
    made = windows_of_examples(examples, CONFIG)
    assert made.schema == WINDOWS
    rows = {(row["feature_id"], row["prompt_id"]): row for row in examples.to_dicts()}
    words = {row["prompt_id"]: row["prompt_tokens"] for row in rows.values()}
    assert set(made["kind"].unique()) == {"quantile", "random"}
    for row in made.to_dicts():
        whole = words[row["prompt_id"]]
        places = [at for at in range(len(whole)) if whole[at : at + len(row["tokens"])] == row["tokens"]]
        assert 0 < len(row["tokens"]) <= 5
        pairs = rows.get((row["feature_id"], row["prompt_id"]), {"activation_pairs": []})["activation_pairs"]
        value = {pair["token_position"]: pair["activation_value"] for pair in pairs}
        assert row["values"] in [[value.get(at + n, 0.0) for n in range(len(row["tokens"]))] for at in places]
        assert (max(row["values"]) > 0) == (row["kind"] == "quantile")


def test_a_prompt_in_which_the_feature_fires_on_the_image_is_not_silent() -> None:
    examples = table()
    fires = set(examples.select("feature_id", "prompt_id").rows())
    silent = windows_of_examples(examples, ExampleConfig(random=500)).filter(kind="random")
    assert examples.filter(num_activations=0).height and silent.height
    assert not fires & set(silent.select("feature_id", "prompt_id").rows())


def test_no_sample_is_both_shown_and_scored() -> None:
    made = windows_of_examples(table(), CONFIG)
    for _, own in made.group_by("feature_id"):
        assert own["sample_id"].n_unique() == own.height


def test_tables_made_elsewhere_know_no_samples() -> None:
    bare = table().with_columns(
        pl.lit(None, pl.String).alias("sample_id"), pl.lit(None, pl.List(pl.Float32)).alias("map_cells")
    )
    made = windows_of_examples(bare, CONFIG).filter(feature_id=CAPTION)
    assert made["prompt_id"].n_unique() == made.height == 4 * 4 + 3
    assert made["map_cells"].null_count() == made.height
    assert windows_of_examples(ACTIVATION_EXAMPLES.to_frame(), CONFIG).schema == WINDOWS
