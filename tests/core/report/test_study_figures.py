import polars as pl
import pytest

from core.figures.writers import to_spec
from core.report.sae_figures import thinned
from core.report.study_figures import figures, label_counts

SAMPLES = pl.DataFrame(
    {
        "split": ["train", "train", "test"],
        "gender_en": ["female", "male", None],
        "gender_ar": ["female", "female", "neutral"],
    }
)
HISTORY = pl.DataFrame(
    {
        "layer": [0] * 500 + [1] * 3,
        "step": [*range(500), *range(3)],
        "epoch": [n / 50 for n in range(500)] + [0.0, 0.1, 0.2],
        "loss": [1.0] * 503,
        "held_out_fvu": pl.Series([None] * 503, dtype=pl.Float64),
    }
)


def test_captions_are_counted_by_language_split_and_gender() -> None:
    counts = label_counts(SAMPLES)
    assert counts["count"].sum() == 5
    assert counts.filter(captions="gender_ar", split="train", gender="female")["count"].item() == 2


def test_a_curve_is_thinned_evenly_and_keeps_its_last_point() -> None:
    thin = thinned(HISTORY, 60)
    first = thin.filter(layer=0)
    assert 50 <= first.height <= 60
    assert first["epoch"].to_list()[-1] == 499 / 50
    assert first["epoch"].diff().drop_nulls().round(6).n_unique() == 1
    assert thin.filter(layer=1).height == 3


def test_missing_and_empty_tables_have_no_figure() -> None:
    assert figures({}) == {}
    assert set(figures({"samples": SAMPLES, "sae": pl.DataFrame()})) == {"genders", "agreement"}
    assert set(figures({"history": HISTORY})) == {"sae_curves"}
    assert figures({"samples": SAMPLES.with_columns(gender_en=None, gender_ar=None)}) == {}


def test_a_study_without_held_out_rows_shows_what_it_has() -> None:
    sae = pl.DataFrame({"layer": [3], "train_fvu": [0.2], "train_cosine": [0.9], "dead_fraction": [0.1]})
    drawn = figures({"sae": sae})
    assert set(drawn) == {"sae_quality"}
    (rows, *_) = to_spec(drawn["sae_quality"])["datasets"].values()
    assert {row["rows"] for row in rows} == {"training"}


def test_feature_density_is_a_share_of_each_layers_live_features() -> None:
    table = pl.DataFrame({"layer": [0, 0, 1], "low": [-2.0, -1.0, -2.0], "features": [30, 10, 5]})
    (rows, *_) = to_spec(figures({"density": table})["sae_density"])["datasets"].values()
    assert [row["share"] for row in rows] == [0.75, 0.25, 1.0]


def test_a_histogram_of_active_features_is_drawn_where_they_vary() -> None:
    table = pl.DataFrame({"layer": [0, 0, 1], "low": [2.0, 2.25, 2.0], "rows": [30, 10, 5]})
    (rows, *_) = to_spec(figures({"l0": table})["sae_l0"])["datasets"].values()
    assert [row["share"] for row in rows] == [0.75, 0.25, 1.0]
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((4, 2**2.25))
    assert figures({"l0": table[1:]}) == {}  # always k


def test_the_frontier_rings_what_is_used_at_the_layers_median() -> None:
    table = pl.DataFrame(
        {
            "layer": [0, 1, 2] * 2,
            "variant": ["k4"] * 3 + ["k8"] * 3,
            "chosen": [False] * 3 + [True] * 3,
            "architecture": "topk",
            "expansion": 8,
            "held_out_l0": [4.0] * 3 + [8.0] * 3,
            "held_out_fvu": [0.3, 0.4, 0.8, 0.2, 0.1, 0.3],
        }
    )
    spec = to_spec(figures({"sweep": table})["sae_frontier"])
    (rows, *_) = spec["datasets"].values()
    assert [(row["variant"], row["fvu"], row["chosen"]) for row in rows] == [("k4", 0.4, False), ("k8", 0.2, True)]


def test_outliers_are_drawn_where_there_are_some_and_gamma_beside_dead_features() -> None:
    none = {"outlier_rows": [0, 0], "outlier_fraction": [0.0, 0.0], "outlier_share": [0.0, 0.0]}
    health = pl.DataFrame({"layer": [0, 1], "rows": [9, 9], "gamma": [0.5, None], **none})
    assert set(figures({"health": health})) == {"gamma"}
    some = health.with_columns(outlier_rows=pl.Series([0, 3]), outlier_share=pl.Series([0.0, 0.9]), gamma=pl.lit(2.0))
    assert set(figures({"health": some})) == {"gamma", "outliers"}
    sae = pl.DataFrame({"layer": [0, 1], "dead_fraction": [0.1, 0.2], "held_out_fvu": [0.3, 0.19]})
    sae = sae.with_columns(held_out_fvu_with_outliers=pl.Series([None, 0.107]))
    drawn = figures({"health": some, "sae": sae})
    values = {row["rows"]: row["value"] for rows in to_spec(drawn["outliers"])["datasets"].values() for row in rows}
    assert values["with them"] == 0.107 and values["of the squared norm"] == 0.9
    points = [row for rows in to_spec(drawn["gamma"])["datasets"].values() for row in rows]
    assert {(row["gamma"], row["dead_fraction"]) for row in points} == {(2.0, 0.1), (2.0, 0.2)}
    alive = figures({"health": some, "sae": sae.with_columns(dead_fraction=0.0)})["gamma"]
    assert alive.caption.endswith("; no autoencoder has a dead feature.")
    assert len(to_spec(alive)["hconcat"]) == 1
