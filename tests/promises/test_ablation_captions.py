"""Captions written under the ablation: rates over those that can change, quality beside clean ones, sets as control."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.ablation.captions import CAPTIONS, CHANGED, ENTROPY, WRITTEN, caption_summary
from core.causal.written import is_turned, told_side
from core.data.gender_concept import GENDER
from tests.promises.test_ablation import resampling

IMAGES = [f"i{number:02d}" for number in range(20)]
SETS = 39


def written(language: str, changed: list[float | None], loss: float, seed: int = 0) -> pl.DataFrame:
    """Captions of every image: clean, ablated (`changed`, `loss` nats dearer), and under random sets, as dear as clean
    ones; one random set in twenty changes a caption."""
    random = np.random.default_rng(seed)
    clean = 2 + random.random(len(IMAGES))
    rows: list[tuple[Any, ...]] = []
    for number, image in enumerate(IMAGES):
        place = (7, language, image, image)
        told = changed[number] is not None
        rows.append((*place, "clean", -1, "t", 0.0 if told else None, clean[number]))
        rows.append((*place, "ablated", -1, "t", changed[number], clean[number] + loss + 0.1 * random.random()))
        for draw in range(SETS):
            turned = float((draw + number) % 20 == 0) if told else None
            rows.append((*place, "random", draw, "t", turned, clean[number] + 0.02 * random.standard_normal()))
    return pl.DataFrame(rows, schema=WRITTEN, orient="row")


def row(table: pl.DataFrame, measure: str, language: str = "en") -> dict[str, Any]:
    return table.filter(measure=measure, language=language).row(0, named=True)


def test_the_planted_rate_and_loss_come_out_beside_the_random_sets() -> None:
    changed: list[float | None] = [1.0] * 12 + [0.0] * 4 + [None] * 4
    found = caption_summary(written("en", changed, 0.5), resampling(IMAGES))
    assert found.schema == CAPTIONS
    rate, quality = row(found, CHANGED), row(found, ENTROPY)
    assert (rate["images"], rate["effect"]) == (16, pytest.approx(0.75))  # four clean captions tell no gender
    assert rate["low"] == pytest.approx(0.505, abs=0.005) and rate["high"] == pytest.approx(0.898, abs=0.005)  # Wilson
    assert rate["control"] == pytest.approx(0.05, abs=0.01) and rate["draws"] == SETS
    assert quality["effect"] == pytest.approx(0.55, abs=0.02) and quality["images"] == 20
    assert quality["ablated"] - quality["clean"] == pytest.approx(quality["effect"])
    assert quality["control"] == pytest.approx(0, abs=0.01)
    assert (rate["p"], quality["p"]) == (pytest.approx(1 / 40), pytest.approx(1 / 40))


def test_captions_that_only_get_dearer_do_not_change() -> None:
    found = caption_summary(written("en", [1.0, *[0.0] * 19], 0.5), resampling(IMAGES))
    assert row(found, CHANGED)["p"] > 0.05 and row(found, ENTROPY)["p"] == pytest.approx(1 / 40)


def test_q_is_over_the_languages_of_one_measure() -> None:
    both = pl.concat([written("en", [1.0] * 20, 0.0), written("ar", [1.0, *[0.0] * 19], 0.0, seed=1)])
    found = caption_summary(both, resampling(IMAGES))
    assert row(found, CHANGED)["q"] == pytest.approx(2 / 40)


def test_an_image_without_a_number_in_some_condition_is_left_out_of_all() -> None:
    table = written("en", [1.0] * 20, 0.5)
    lost = (pl.col("image_id") == "i00") & (pl.col("draw") == 3)
    holed = table.with_columns(pl.when(lost).then(float("nan")).otherwise("entropy").alias("entropy"))
    found = caption_summary(holed, resampling(IMAGES))
    assert (row(found, ENTROPY)["images"], row(found, CHANGED)["images"]) == (19, 20)


def test_only_the_other_side_alone_is_a_change() -> None:
    assert told_side(GENDER, "a woman and her bag", "en") == "female"
    assert told_side(GENDER, "a woman and a man", "en") is None and told_side(GENDER, "a dog", "en") is None
    assert is_turned(GENDER, "female", "a man reads", "en") and is_turned(GENDER, "male", "امرأة تغني", "ar")
    for text in ("a woman reads", "a doctor reads", "a woman and a man"):
        assert not is_turned(GENDER, "female", text, "en")
