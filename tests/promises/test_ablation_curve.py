"""Effect at the control's KL: between doses, over images as units, and told apart where no dose reaches it."""

import math

import numpy as np
import polars as pl
import pytest

from core.analysis.ablation import Config
from core.analysis.ablation.curve import AT_CONTROL, DOSES, curve_tables, effect_at
from core.analysis.ablation.measures import Measured
from core.study.variant import differences
from tests.promises.test_ablation import IMAGES, drawn, resampling

KNOWN = np.array([0.0, 1.0, 2.0, 4.0])


def test_the_effect_is_read_between_the_doses_where_kl_passes_the_controls() -> None:
    effects, kls = np.array([1.0, 3.0, 4.0]), np.array([0.1, 0.3, 0.9])
    assert effect_at(0.2, KNOWN, effects, kls) == pytest.approx((2.0, 1.5, True))
    assert effect_at(0.05, KNOWN, effects, kls) == pytest.approx((0.5, 0.5, True))
    assert effect_at(0.9, KNOWN, effects, kls) == pytest.approx((4.0, 4.0, True))
    assert effect_at(1.0, KNOWN, effects, kls) == (4.0, 4.0, False)
    grid = np.linspace(0.01, 0.9, 30)
    read = [effect_at(target, KNOWN, effects, kls)[0] for target in grid]
    assert read == pytest.approx(np.interp(grid, [0, *kls], [0, *effects]))


def test_the_first_crossing_counts_where_kl_falls_again() -> None:
    assert effect_at(0.2, KNOWN, np.array([1.0, 2.0, 3.0]), np.array([0.4, 0.1, 0.8]))[1] == pytest.approx(0.5)


def world(slope: float, random_kl: float, captions: int = 1) -> tuple[pl.DataFrame, Measured]:
    """Effects of `slope` nats a dose, KL of 0.01 times its square; random sets do nothing at `random_kl`."""
    random = np.random.default_rng(0)
    rows = [
        ("en", dose, image, slope * dose + 0.1 * random.standard_normal(), 0.01 * dose**2, 0.1 * dose)
        for dose in DOSES
        for image in IMAGES
        for _ in range(captions)
    ]
    columns = ["language", "dose", "image_id", "effect", "kl", "relative_norm"]
    divergence = pl.DataFrame(
        {
            "language": ["en"] * 3,
            "kind": ["features", "random", "random"],
            "draw": [0, 0, 1],
            "image_id": [IMAGES[0]] * 3,
            "kl": [0.01, random_kl, random_kl],
        }
    )
    sets = drawn("en", [{image: [0.1 * (-1) ** k] for image in IMAGES} for k in range(4)])
    return pl.DataFrame(rows, columns, orient="row"), Measured(pl.DataFrame(), sets, divergence, pl.DataFrame())


def test_features_are_compared_with_random_sets_at_equal_cost() -> None:
    curve, compared = curve_tables(8, *([part] for part in world(1.0, 0.16)), resampling(IMAGES))
    row = compared.row(0, named=True)
    assert row["reached"] and row["dose"] == pytest.approx(4, abs=1e-6) and row["kl"] == pytest.approx(0.16)
    assert row["effect"] == pytest.approx(4, abs=0.1) and row["low"] < row["effect"] < row["high"]
    assert (row["control"], row["draws"]) == (pytest.approx(0), 2)
    own = curve.filter(set="chosen features")
    assert own["dose"].to_list() == list(DOSES) and own["relative_norm"].to_list() == pytest.approx(
        [0.1 * d for d in DOSES]
    )
    assert own["kl"].to_list() == pytest.approx([0.01 * dose**2 for dose in DOSES])
    assert curve.filter(set="random features")["draw"].to_list() == [0, 1]  # those whose KL was measured


def test_a_kl_that_no_dose_reaches_is_said() -> None:
    _, compared = curve_tables(8, *([part] for part in world(1.0, 5.0)), resampling(IMAGES))
    row = compared.row(0, named=True)
    assert not row["reached"] and row["dose"] == DOSES[-1] and row["effect"] == pytest.approx(8, abs=0.1)


def test_an_images_captions_are_one_value() -> None:
    curve, _ = curve_tables(8, *([part] for part in world(1.0, 0.16, captions=3)), resampling(IMAGES))
    assert (curve.filter(set="chosen features")["images"] == len(IMAGES)).all()


def test_without_random_sets_nothing_is_compared() -> None:
    doses, measured = world(1.0, 0.16)
    none = Measured(pl.DataFrame(), drawn("en", []), measured.divergence.filter(kind="features"), pl.DataFrame())
    none = Measured(none.effects, none.draws.cast({"draw": pl.Int64}), none.divergence, none.norms)
    curve, compared = curve_tables(8, [doses], [none], resampling(IMAGES))
    assert compared.is_empty() and compared.schema == AT_CONTROL
    assert curve.height == len(DOSES) and not curve["kl"].map_elements(math.isnan, pl.Boolean).any()


def test_a_study_without_the_curve_stays_what_it_was() -> None:
    assert "curve" not in Config().model_dump() and Config(curve=True).model_dump()["curve"] is True
    asked = {"analyses": {"ablation": Config(curve=True).model_dump(mode="json")}}
    plain = {"analyses": {"ablation": Config().model_dump(mode="json")}}
    assert differences(plain, asked) == {"analyses.ablation.curve": True}
    assert differences(asked, plain) == {"analyses.ablation.curve": False}
