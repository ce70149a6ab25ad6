"""A feature under a varied input: the pipeline against what capture wrote, and the statistics against planted truth."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import saeflow as public
from core.causal.variations import BETWEEN, Variation, scene_variations, word_variations
from core.causal.varied import VARIED, effects, measure_varied, moved
from core.data.scene_changes import changed
from core.data.scenes import study_scenes
from core.errors import BadInput
from core.features.breakdown import feature_means
from core.lm.loading import load_model
from core.lm.prompts import CaptionRequest

N, VALUES = 40, ("a", "b", "c")


def varied(effect: np.ndarray, seed: int = 0) -> pl.DataFrame:
    """Images far apart, and what each value adds in all of them."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 5, N)
    rows = [
        (f"i{image}", value, own[image] + effect[place] + rng.normal(0, 0.5))
        for image in range(N)
        for place, value in enumerate(VALUES)
    ]
    return pl.DataFrame(rows, schema=VARIED, orient="row")


def test_a_planted_effect_is_found_under_differences_between_images() -> None:
    table = varied(np.array([1.0, 0.0, 0.0]))
    found = moved(table, 199, 0)
    assert found.p == 1 / 200 and found.share > found.high
    values = effects(table, 199, 0)
    assert values["value"][0] == "a" and values["low"][0] > 0 and values["high"][1:].max() < 0
    assert values["mean"].sum() == pytest.approx(0, abs=1e-9)


def test_without_an_effect_p_is_as_small_as_chance_makes_it() -> None:
    small = sum(moved(varied(np.zeros(3), seed), 99, seed).p <= 0.05 for seed in range(60))
    assert small <= 9  # 3 expected; more than 9 happens once in a thousand


def test_a_feature_that_never_changes_has_no_share() -> None:
    still = varied(np.zeros(3)).with_columns(pl.lit(0.0).alias("activation"))
    found = moved(still, 99, 0)
    assert np.isnan(found.share) and found.p == 1


def test_unchanged_scenes_give_what_their_capture_gave(mini_workspace: Path, tmp_path: Path) -> None:
    study = public.open("mini", workspace=mini_workspace)
    view, model = study.layer(17), study.config["model"]
    loaded = load_model(Path(model["path"]), model["compute_dtype"], "cpu")
    feature = int(view.index.features.sort("count", descending=True)["feature"][0])
    images = study.samples["image_id"].to_list()[:6]
    rows = {row["image_id"]: row for row in study.samples.iter_rows(named=True)}
    asked = []
    for name in images:
        picture, caption = study.picture(rows[name]["image"]), rows[name]["caption_en"]
        request = CaptionRequest(name, name, "en", caption, model["instruction_en"], picture)
        asked.append(Variation(name, "own", request))
    found = measure_varied(loaded, view, feature, asked)
    sets = sorted(set(view.groups.table["position_set"]))
    captured = feature_means(view.index, view.groups, feature, "en", sets).filter(pl.col("image_id").is_in(images))
    expected = dict(captured.iter_rows())
    for image, _, value in found.iter_rows():
        assert value == pytest.approx(expected[image], rel=0.02, abs=1e-4)  # the index holds float16


def test_every_scene_is_run_with_every_value(tmp_path: Path) -> None:
    scenes = dict(list(study_scenes(48, 3).items())[:2])
    asked = list(scene_variations(scenes, ["mood"], "Describe.", "ar", tmp_path))
    assert len(asked) == 2 * len({one.value for one in asked}) and len(list(tmp_path.iterdir())) == len(asked)
    for one in asked:
        assert one.request.caption == changed(scenes[one.image_id], mood=one.value).caption("ar").text


def test_two_attributes_are_varied_together(tmp_path: Path) -> None:
    scenes = dict(list(study_scenes(48, 3).items())[:1])
    asked = list(scene_variations(scenes, ["gender", "mood"], "", "en", tmp_path))
    (scene,) = scenes.values()
    for one in asked:
        gender, mood = one.value.split(BETWEEN)
        assert one.request.caption == changed(scene, gender=gender, mood=mood).caption("en").text
    assert len({one.value for one in asked}) == len(asked) == 2 * len({one.value.split(BETWEEN)[1] for one in asked})


def test_a_word_is_replaced_where_it_stands_whole(tmp_path: Path) -> None:
    samples = pl.DataFrame(
        {
            "sample_id": ["1", "2", "3"],
            "image_id": ["1", "2", "3"],
            "image": [None, "b.png", "c.png"],
            "caption_en": ["A man and a mango.", "A woman.", None],
        }
    )
    asked = list(word_variations(samples, "en", ["man", "person"], "Go.", tmp_path.joinpath))
    assert [(one.image_id, one.value, one.request.caption) for one in asked] == [
        ("1", "man", "A man and a mango."),
        ("1", "person", "A person and a mango."),
    ]
    assert asked[0].request.image is None
    with pytest.raises(BadInput, match="no en caption has the word 'Man'"):
        list(word_variations(samples, "en", ["Man", "x"], "", tmp_path.joinpath))


def test_nothing_to_vary_is_told() -> None:
    with pytest.raises(BadInput, match="nothing to vary"):
        measure_varied(None, None, 0, [])
