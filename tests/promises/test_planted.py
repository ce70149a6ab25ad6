"""What was planted stands beside what answers a question, in the known-answer world and in no other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from sklearn.metrics import roc_auc_score

from core.data.gender_concept import GENDER
from core.data.scene_truth import planted_gender
from core.features.inputs import AnalysisInputs
from core.stats.estimate import Estimate, Source

SAMPLES = pl.DataFrame(
    {
        "image_id": ["a", "b", "c", "d", "e"],
        "split": ["test"] * 4 + ["train"],
        "visible_gender": ["woman", "man", "neutral", "neutral", "neutral"],
        "profession": ["judge", "judge", "judge", "golfer", "golfer"],
        "gender_en": ["female", "male", "female", "male", "male"],
    }
)
TRUTH = {"female_rate_of_neutral": {"judge": 0.3, "golfer": 0.6}}


def refused(*_: Any) -> Any:
    raise AssertionError("nothing is opened")


def said(truth: Any, names: str = "") -> Sequence[str]:
    inputs = AnalysisInputs(SAMPLES, Path(), truth, (), ("en",), refused, refused, {}, concept=GENDER)
    one = Estimate("onset.x", "AUROC", 0.9, "AUROC", 4, "test images", Source("t", {}, "auroc"), answers=True)
    aside = replace(one, name="onset.y", answers=False)
    return [found.planted for found in inputs.beside_planted((one, aside), "read", names)]


def test_only_test_images_count_and_a_visible_gender_outdoes_the_profession() -> None:
    told = planted_gender(TRUTH, SAMPLES)["read"]
    best = roc_auc_score([True, False, True, False], [1.0, 0.0, 0.3, 0.6])
    assert told == (
        f"the gender is drawn on 2 of 4 test images, on 2 its rate follows the profession; at best AUROC {best:.3f}"
    )


def test_it_stands_beside_what_answers_alone_and_where_the_world_is_known() -> None:
    assert said(TRUTH) == [planted_gender(TRUTH, SAMPLES)["read"], ""]
    assert said(TRUTH, "peak") == ["", ""]
    assert said(None) == said({"another": "world's"}) == ["", ""]
