import polars as pl

from core.figures.study import figures, gender_counts, thinned
from core.figures.writers import to_spec

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
    counts = gender_counts(SAMPLES)
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
