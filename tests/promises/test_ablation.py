"""The ablation: test images as units, captions averaged within them, languages apart, shares of sums, two-sided p."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.analysis.ablation.balance import balance
from core.analysis.ablation.findings import estimates
from core.analysis.ablation.measures import Measured, Target, _patches
from core.analysis.ablation.summary import EFFECTS, by_image, corrected, specificity, summarise
from core.causal.controls import RandomSets
from core.causal.resampling import Resampling
from core.data.gender_concept import GENDER
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs
from core.features.profile import Profile
from core.lm.patched import CAPTION, IMAGE

ZERO, SWAP = "zero ablation", "interchange, every position"


def resampling(images: list[str], twins: bool = False, seed: int = 0, bootstrap: int = 400) -> Resampling:
    closed: Any = None
    twin = [images[number ^ 1] for number in range(len(images))] if twins else [None] * len(images)
    samples = pl.DataFrame(
        {"sample_id": images, "image_id": images, "twin_id": pl.Series(twin, dtype=pl.String)},
    )
    given = {"layers": (), "open_layer": closed, "open_model": closed, "instructions": {}, "concept": THE_CONCEPT}
    return Resampling(AnalysisInputs(samples, None, None, languages=("en", "ar"), seed=seed, **given), bootstrap)


def frame(language: str, intervention: str, effects: dict[str, list[float]], outcome: str = "first-gendered") -> Any:
    """Effects by image, one a caption."""
    rows = [(image, value) for image, values in effects.items() for value in values]
    return pl.DataFrame(
        {
            "language": [language] * len(rows),
            "outcome": [outcome] * len(rows),
            "intervention": [intervention] * len(rows),
            "image_id": [image for image, _ in rows],
            "sample_id": [str(number) for number in range(len(rows))],
            "effect": [value for _, value in rows],
        }
    )


def drawn(language: str, sets: list[dict[str, list[float]]]) -> pl.DataFrame:
    rows = [(k, image, value) for k, effects in enumerate(sets) for image, vs in effects.items() for value in vs]
    columns = {"language": [language] * len(rows), "draw": [k for k, _, _ in rows]}
    columns |= {"image_id": [image for _, image, _ in rows], "effect": [value for _, _, value in rows]}
    return pl.DataFrame(columns)


def measured(effects: list[pl.DataFrame], draws: pl.DataFrame, divergence: Any = None) -> Measured:
    return Measured(pl.concat(effects), draws, divergence, pl.DataFrame())


IMAGES = [f"i{number:02d}" for number in range(20)]


def world(share: float = 0.25) -> tuple[pl.DataFrame, Resampling]:
    """English effects of 1 and Arabic of 3 on most images; large ceilings go with small effects."""
    own = {image: [1.0 + 0.1 * (number % 3)] for number, image in enumerate(IMAGES)}
    ceiling = {image: [4.0 + number] for number, image in enumerate(IMAGES)}
    sets = [{image: [0.02 * k] for image in IMAGES} for k in range(-15, 16)]
    english = measured([frame("en", ZERO, own), frame("en", SWAP, ceiling)], drawn("en", sets))
    arabic = measured(
        [frame("ar", ZERO, {image: [3.0] for image in IMAGES}), frame("ar", SWAP, ceiling)], drawn("ar", sets)
    )
    images = resampling(IMAGES)
    return summarise(7, [english, arabic], images), images


def row(table: pl.DataFrame, language: str, intervention: str = ZERO) -> dict[str, Any]:
    return table.filter(language=language, intervention=intervention, outcome="first-gendered").row(0, named=True)


def test_languages_stand_before_what_is_pooled_over_them_and_keep_their_own_numbers() -> None:
    table, _ = world()
    assert table["language"].unique(maintain_order=True).to_list() == ["en", "ar", "all"]
    assert row(table, "en")["effect"] == pytest.approx(1.095)
    assert row(table, "ar")["effect"] == pytest.approx(3)
    assert row(table, "all")["effect"] == pytest.approx((1.095 + 3) / 2)


def test_an_image_counts_once_however_many_captions_it_has() -> None:
    effects = {"i00": [5.0] * 8, **{image: [1.0] for image in IMAGES[1:]}}
    sets = [{"i00": [1.0, 3.0], "i01": [0.0]}]
    table = summarise(1, [measured([frame("en", ZERO, effects)], drawn("en", sets))], resampling(IMAGES))
    assert row(table, "en")["images"] == 20
    assert row(table, "en")["effect"] == pytest.approx(1 + 4 / 20)
    means = by_image(drawn("en", sets), ["draw"])
    assert means.sort("image_id")["effect"].to_list() == [2.0, 0.0]


def test_the_pooled_row_weighs_a_language_of_many_captions_no_more() -> None:
    english = frame("en", ZERO, {"i00": [0.0] * 5})
    arabic = frame("ar", ZERO, {"i00": [2.0]})
    pooled = by_image(pl.concat([english, arabic]), ["intervention"]).filter(language="all")
    assert pooled["effect"].to_list() == [1.0]


def test_a_share_is_one_sum_over_another() -> None:
    table, _ = world()
    ceilings = [4.0 + number for number in range(20)]
    assert row(table, "en")["share"] == pytest.approx(1.095 * 20 / sum(ceilings))
    assert row(table, "en")["share_low"] < row(table, "en")["share"] < row(table, "en")["share_high"]


@pytest.mark.parametrize("ceiling", [[-9.0, 10.0], [-5.0, -5.0]])
def test_there_is_no_share_of_a_ceiling_whose_interval_holds_0(ceiling: list[float]) -> None:
    whole = {image: [ceiling[number % 2]] for number, image in enumerate(IMAGES)}
    effects = [frame("en", ZERO, {image: [1.0] for image in IMAGES}), frame("en", SWAP, whole)]
    table = summarise(1, [measured(effects, drawn("en", []).cast({"draw": pl.Int64}))], resampling(IMAGES))
    assert row(table, "en")["share"] is None


def test_a_share_is_taken_over_the_images_that_have_both() -> None:
    whole = {image: [4.0] for image in IMAGES[:10]}
    own = {image: [1.0 if number < 10 else 100.0] for number, image in enumerate(IMAGES)}
    effects = [frame("en", ZERO, own), frame("en", SWAP, whole)]
    table = summarise(1, [measured(effects, drawn("en", []).cast({"draw": pl.Int64}))], resampling(IMAGES))
    assert row(table, "en")["share"] == pytest.approx(0.25)


def test_an_image_and_its_twin_are_one_unit_of_the_interval() -> None:
    """Twins with opposite effects: their pair's mean does not vary."""
    effects = {image: [1.0 + (-1) ** number] for number, image in enumerate(IMAGES)}
    one = frame("en", ZERO, effects)
    none = drawn("en", []).cast({"draw": pl.Int64})
    together = row(summarise(1, [measured([one], none)], resampling(IMAGES, twins=True)), "en")
    apart = row(summarise(1, [measured([one], none)], resampling(IMAGES)), "en")
    assert (together["low"], together["high"]) == (1.0, 1.0)
    assert apart["low"] < 0.8 and apart["high"] > 1.2


def test_p_is_two_sided() -> None:
    sets = [{image: [0.01 * k] for image in IMAGES} for k in range(-20, 20)]
    both = []
    for sign in (1, -1):
        own = {image: [sign * (1.0 + 0.1 * (number % 3))] for number, image in enumerate(IMAGES)}
        both.append(
            row(summarise(1, [measured([frame("en", ZERO, own)], drawn("en", sets))], resampling(IMAGES)), "en")
        )
    assert [found["p"] for found in both] == pytest.approx([1 / 41, 1 / 41])


def test_p_is_never_below_what_the_sets_can_resolve() -> None:
    table, _ = world()
    assert row(table, "ar")["p"] == pytest.approx(1 / 32)


def test_the_control_is_the_random_sets_mean_over_images() -> None:
    table, _ = world()
    found = row(table, "en")
    assert found["draws"] == 31
    assert found["control"] == pytest.approx(0)
    low, high = np.quantile(np.arange(-15, 16) * 0.02, [0.025, 0.975])
    assert (found["control_low"], found["control_high"]) == pytest.approx((low, high))
    assert row(table, "en", SWAP)["p"] is None


def test_sets_are_compared_on_the_images_in_their_order() -> None:
    """Random effects equal the chosen ones image by image, listed the other way round: no difference, so p is 1."""
    own = {image: [float(number)] for number, image in enumerate(IMAGES)}
    reversed_sets = [dict(reversed(own.items()))] * 30
    table = summarise(1, [measured([frame("en", ZERO, own)], drawn("en", reversed_sets))], resampling(IMAGES))
    assert row(table, "en")["p"] == 1.0


def test_q_families_are_languages_times_layers_and_the_pooled_rows_apart() -> None:
    rows = []
    for layer, ps in ((1, (0.01, 0.04, 0.03)), (2, (0.02, 0.5, 0.9))):
        for language, p in zip(("en", "ar", "all"), ps, strict=True):
            own = {"layer": layer, "language": language, "outcome": "first-gendered", "intervention": ZERO, "p": p}
            rows += [own, {**own, "intervention": "mean ablation", "p": None}]
    found = corrected(pl.DataFrame(rows, schema=EFFECTS)).filter(intervention=ZERO)
    q = {(entry["layer"], entry["language"]): entry["q"] for entry in found.rows(named=True)}
    assert q[1, "en"] == pytest.approx(0.04) and q[2, "en"] == pytest.approx(0.04)
    assert q[1, "ar"] == pytest.approx(0.04 * 4 / 3) and q[2, "ar"] == pytest.approx(0.5)
    assert q[1, "all"] == pytest.approx(0.06) and q[2, "all"] == pytest.approx(0.9)
    assert corrected(pl.DataFrame(rows, schema=EFFECTS)).filter(intervention="mean ablation")["q"].null_count() == 6


def divergence(kl: dict[str, list[float]], kind: str = "features", draw: int = 0) -> pl.DataFrame:
    rows = [(image, value) for image, values in kl.items() for value in values]
    columns = {"language": ["en"] * len(rows), "kind": [kind] * len(rows), "draw": [draw] * len(rows)}
    return pl.DataFrame({**columns, "image_id": [one for one, _ in rows], "kl": [value for _, value in rows]})


def test_kl_averages_captions_within_an_image_and_leaves_out_those_without_other_words() -> None:
    own = divergence({"i00": [1.0, 3.0], "i01": [float("nan")], "i02": [4.0]})
    random = [divergence({"i00": [0.5, 1.5], "i02": [float(k)]}, "random", k) for k in range(3)]
    part = measured([frame("en", ZERO, {})], drawn("en", []), pl.concat([own, *random]))
    found = specificity(1, [part], resampling(IMAGES)).row(0, named=True)
    assert (found["images"], found["kl"]) == (2, 3.0)
    assert found["draws"] == 3 and found["control"] == pytest.approx((1 + 1) / 2)


def tables(**changed: Any) -> dict[str, pl.DataFrame]:
    effects, images = world()
    effects = corrected(effects.with_columns(**changed)) if changed else corrected(effects)
    part = measured([frame("en", ZERO, {})], drawn("en", []), divergence({image: [0.1] for image in IMAGES}))
    features = {"layer": [7, 7], "feature": [1, 2], "association": [0.4, 0.4], "q": [0.01, 0.5]}
    return {
        "effects": effects,
        "specificity": specificity(7, [part], images),
        "features": pl.DataFrame(features, schema_overrides={"layer": pl.UInt16}),
    }


def test_estimates_are_read_from_the_tables_and_answer_by_language() -> None:
    given = tables()
    found = {one.name: one for one in estimates(given, GENDER, "items")}
    assert list(found)[:3] == ["shift.en", "shift.ar", "shift.all"]
    for one in found.values():
        place = given[one.source.table].filter(**one.source.key)
        assert place.height == 1 and place[one.source.column].item() == one.value
    assert [name for name, one in found.items() if one.answers] == ["shift.en", "shift.ar"]
    assert found["shift.en"].counted == "test items" and found["shift.en"].split == "test"
    assert found["shift.en"].family == "1 layer × 2 languages"
    assert found["shift.en"].condition.startswith("the 2 highest-ranked features, 1 of them associated")
    assert found["shift.en"].verdict == "found"
    assert found["share.en"].described and found["kl.en"].described


def test_a_share_below_0_or_above_all_is_no_estimate() -> None:
    for share in (-0.1, 1.04):
        names = {one.name for one in estimates(tables(share=pl.lit(share)), GENDER, "images")}
        assert not any(name.startswith("share") for name in names)
        assert "shift.en" in names


def test_without_a_control_nothing_is_found() -> None:
    none = {name: pl.lit(None, pl.Float64) for name in ("control", "control_low", "control_high", "p")}
    found = estimates(tables(**none, draws=pl.lit(0, pl.UInt32)), GENDER, "images")[0]
    assert found.verdict == "weak"
    assert "no control" in found.caveats[0]


def profile() -> Profile:
    random = np.random.default_rng(0)
    rows = np.array([[9.0, 9], [3, 3], [8, 8], [0, 0]])
    return Profile(("en", "ar"), rows, *(random.random((4, 2, 6)) for _ in range(3)))


def test_mean_ablation_puts_the_means_of_the_captions_own_language() -> None:
    own = profile()
    target = Target(SimpleNamespace(profile=own, layer=1), (2, 4), RandomSets((), 0), 0.0)  # type: ignore[arg-type]
    for place, language in enumerate(("en", "ar")):
        patches = _patches(target, language, last_prompt=False)
        replacement = patches["mean ablation"].replacement
        assert replacement is not None
        for row_number, code in ((0, IMAGE), (2, CAPTION)):
            expected = torch.from_numpy(own.mean[row_number, place][[2, 4]]).float()
            torch.testing.assert_close(replacement[code], expected)
        assert patches[ZERO].replacement is None and patches[ZERO].segments is None
        assert patches["zero ablation, image only"].segments == (IMAGE,)


def test_the_last_prompt_token_is_ablated_alone_only_where_saes_are_trained_on_such_rows() -> None:
    target = Target(SimpleNamespace(profile=profile(), layer=1), (2,), RandomSets((), 0), 0.0)  # type: ignore[arg-type]
    name = "zero ablation, last prompt token only"
    assert name in _patches(target, "en", last_prompt=True)
    assert name not in _patches(target, "en", last_prompt=False)


def test_balance_sets_the_chosen_set_beside_the_drawn_ones() -> None:
    own = profile()
    control = RandomSets(((0, 1), (3, 5)), 4)
    target = Target(SimpleNamespace(profile=own, layer=1), (2, 4), control, 0.0)  # type: ignore[arg-type]
    norms = pl.DataFrame(
        {
            "language": ["en"] * 3,
            "segment": ["image"] * 3,
            "draw": [-1, 0, 1],
            "norm": [2.0, 1.0, 4.0],
            "relative_norm": [0.2, 0.1, 0.4],
        }
    )
    table = balance(target, [Measured(pl.DataFrame(), pl.DataFrame(), pl.DataFrame(), norms)])
    added = table.filter(language="en", segment="image", measure="‖Δx‖").row(0, named=True)
    assert (added["chosen"], added["drawn"]) == (2.0, 2.5)
    strength = table.filter(language="ar", segment="caption", measure="mean squared contribution").row(0, named=True)
    power = own.power[2, 1]
    assert strength["chosen"] == pytest.approx(power[[2, 4]].sum())
    assert strength["drawn"] == pytest.approx((power[[0, 1]].sum() + power[[3, 5]].sum()) / 2)
    assert table.filter(segment="last prompt token").is_empty()
