"""The table of examples against a loop over every prompt and feature."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput
from core.explain import examples as module
from core.explain.examples import activation_examples, dense_values
from core.explain.firing import blocks
from core.explain.prompt_rows import number_prompts
from core.explain.tables import ACTIVATION_EXAMPLES
from tests.core.explain.planted_features import FEATURES, IMAGE_ALONE, INSTRUCTION, NEVER, Planted, planted


def by_hand(given: Planted, feature: int) -> list[dict[str, Any]]:
    rows = given.tokens.with_row_index("at").filter(~pl.col("special")).to_dicts()
    found = []
    for number, sample in enumerate(given.samples.to_dicts()):
        for place, language in enumerate(("en", "ar")):
            own = [row for row in rows if row["sample_id"] == sample["sample_id"] and row["language"] == language]
            patches = [row for row in rows if row["image_id"] == sample["image_id"] and row["segment"] == "image"]
            values = [float(given.dense[row["at"], feature]) for row in sorted(own, key=lambda row: row["position"])]
            cells = [float(given.dense[row["at"], feature]) for row in sorted(patches, key=lambda row: row["position"])]
            if max(values + cells) > 0:
                pairs = [{"token_position": at, "activation_value": value} for at, value in enumerate(values) if value]
                words = [row["token"] for row in sorted(own, key=lambda row: row["position"])]
                about = {"language": language, "sample_id": sample["sample_id"], "image": sample["image"]}
                numbers = {"feature_id": feature, "prompt_id": 2 * number + place, "num_activations": len(pairs)}
                found.append(
                    {**numbers, "max_activation": max(values + cells), "prompt_tokens": words, **about}
                    | {"activation_pairs": pairs, "map_cells": cells, "sae_id": "s/layer_0"}
                )
    return found


def test_every_row_is_what_a_loop_over_prompts_finds() -> None:
    given = planted()
    table = pl.concat(activation_examples(given.index, given.tokens, given.samples, None, "s/layer_0"))
    assert table.schema == ACTIVATION_EXAMPLES
    for feature in range(FEATURES):
        expected = by_hand(given, feature)
        assert table.filter(pl.col("feature_id") == feature).to_dicts() == [
            {name: row[name] for name in ACTIVATION_EXAMPLES} for row in expected
        ]
    assert table["feature_id"].n_unique() == FEATURES - 1


def test_features_are_chosen_and_blocks_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    given = planted()
    whole = pl.concat(activation_examples(given.index, given.tokens, given.samples, None, "s"))
    monkeypatch.setattr(module, "MOST_ROWS", 7)
    parts = list(activation_examples(given.index, given.tokens, given.samples, [9, 2, 9, NEVER], "s"))
    assert max(part.height for part in parts) == 7
    assert pl.concat(parts).equals(whole.filter(pl.col("feature_id").is_in([2, 9])))
    assert not list(activation_examples(given.index, given.tokens, given.samples, [NEVER], "s"))
    with pytest.raises(BadInput, match="feature 99 is out of range"):
        list(activation_examples(given.index, given.tokens, given.samples, [99], "s"))


def test_blocks_of_features_hold_at_most_so_many_rows() -> None:
    index = planted().index
    count = [len(index.csc(feature)[0]) for feature in range(FEATURES)]
    most = max(count) + 5
    found = list(blocks(index, range(FEATURES), most))
    assert [feature for block in found for feature in block] == list(range(FEATURES))
    assert len(found) > 1
    assert all(sum(count[feature] for feature in block) <= most for block in found)
    assert all(sum(count[feature] for feature in [*one, other[0]]) > most for one, other in pairwise(found))


def test_what_captions_share_is_in_both_prompts() -> None:
    given = planted()
    common = given.tokens.with_columns(
        language=pl.when(pl.col("token") == "Describe").then(None).otherwise("language"),
    ).filter((pl.col("token") != "Describe") | (pl.col("group") == "en"))
    prompts = number_prompts(common, given.samples)
    assert all(words[0] == "Describe" for words in prompts.tokens.to_list())
    assert (prompts.captions == 1).all()


def test_a_study_of_images_has_one_prompt_per_image_and_no_language() -> None:
    given = planted()
    seen = given.tokens["segment"].eq("image").to_numpy()
    index = _Dense(given.dense[seen])
    table = pl.concat(activation_examples(index, given.tokens.filter(seen), given.samples, [IMAGE_ALONE], "s"))
    assert table["language"].null_count() == table.height == table["sample_id"].n_unique()
    assert table["prompt_tokens"].list.len().max() == 0
    assert (table["num_activations"] == 0).all()
    assert table["max_activation"].to_list() == table["map_cells"].list.max().to_list()


def test_a_study_of_text_has_no_cells() -> None:
    given = planted()
    spoken = ~given.tokens["segment"].eq("image").to_numpy()
    samples = given.samples.drop("image")
    index = _Dense(given.dense[spoken])
    table = pl.concat(activation_examples(index, given.tokens.filter(spoken), samples, None, "s"))
    assert table["map_cells"].null_count() == table["image"].null_count() == table.height > 0
    assert IMAGE_ALONE not in table["feature_id"].to_list()


def test_values_on_every_token_are_the_pairs_written_out() -> None:
    given = planted()
    table = pl.concat(activation_examples(given.index, given.tokens, given.samples, [INSTRUCTION, 8], "s"))
    for row, values in zip(table.to_dicts(), dense_values(table).to_list()):
        expected = np.zeros(len(row["prompt_tokens"]), np.float32)
        for pair in row["activation_pairs"]:
            expected[pair["token_position"]] = pair["activation_value"]
        assert values == expected.tolist()


class _Dense:
    def __init__(self, dense: np.ndarray) -> None:
        self.dense, self.num_features = dense, dense.shape[1]

    def csc(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.flatnonzero(self.dense[:, feature])
        return rows.astype(np.uint32), self.dense[rows, feature]

    def release(self) -> None: ...
