"""Profiles over languages against NumPy and SciPy; features of one language, and none where there are none."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import sparse, stats

from core.analysis.language_specific import Config
from core.analysis.language_specific.figures import figures
from core.analysis.language_specific.findings import findings
from core.analysis.language_specific.profiles import Design, Split, classes_of, lape, profile_layer
from core.analysis.language_specific.run import run
from core.analysis.language_specific.summary import summary_table
from core.errors import BadInput
from core.features.caption_rows import CaptionSide, PairedCaptions, caption_groups, paired_captions
from core.features.inputs import AnalysisInputs
from core.stats.intervals import bootstrap_ratio
from tests.core.features.planted_world import Index, activations_of

LANGUAGES = ("en", "ar")
CONFIG = Config(layers=(1, 2), swaps=199)


def captions(fired: np.ndarray, rows: int) -> CaptionSide:
    active = sparse.csr_array(fired.astype(np.float32))
    return CaptionSide(np.full(len(fired), rows, np.float32), active, active * 2)


def drawn_captions(seed: int, images: int = 80, features: int = 60, specific: int = 0) -> PairedCaptions:
    """Features that fire alike in both languages, rare ones among them; the first `specific` on English alone."""
    rng = np.random.default_rng(seed)
    rates = np.geomspace(0.03, 0.6, features)
    sides = [rng.binomial(8, rates, (images, features)) for _ in LANGUAGES]
    sides[1][:, features - specific :] = 0
    return PairedCaptions([f"i{n:03d}" for n in range(images)], captions(sides[0], 8), captions(sides[1], 8))


def halves(paired: PairedCaptions, swaps: int = 199) -> Design:
    units = np.arange(len(paired.images)) // 2
    middle = len(units) // 2
    parts = (slice(0, middle), slice(middle, None))
    select, test = (Split.of(paired.images[part], units[part], swaps, 0) for part in parts)
    return Design(select, test, LANGUAGES, Config(swaps=swaps))


def test_a_feature_of_english_rows_is_specific_and_the_others_are_shared(world: AnalysisInputs) -> None:
    result = run(world, CONFIG)
    profiles = result.tables["profiles"]
    own = profiles.filter(feature=2)
    assert own["class"].to_list() == ["en", "en"] and own["holds"].all()
    assert own["selectivity"].to_list() == [1.0, 1.0] and own["lape"].to_list() == [0.0, 0.0]
    assert (own["p"] == 1 / 200).all() and (own["monolinguality"] == own["mean_en"]).all()
    others = profiles.filter(pl.col("feature") != 2)
    assert set(others["class"]) == {"shared"} and others["lape"].min() > 0.5 * np.log(2)
    assert figures(result.tables).keys() == {"classes", "selectivity"}
    shares = result.tables["classes"].filter(layer=1)
    assert shares["share"].sum() == pytest.approx(1) and shares["features"].sum() == profiles.filter(layer=1).height
    for one in result.estimates:
        rows = result.tables[one.source.table].filter(**one.source.key)
        assert rows.height == 1 and rows[one.source.column].to_list() == pytest.approx([one.value], nan_ok=True)


def test_rates_are_of_caption_rows_averaged_over_images(world: AnalysisInputs) -> None:
    opened = world.open_layer(1)
    paired = paired_captions(opened.index, caption_groups(opened.table.tokens), LANGUAGES)
    tokens = opened.table.tokens.with_row_index("place")
    codes = activations_of(opened)
    for language, side in zip(LANGUAGES, (paired.first, paired.second)):
        chosen = tokens.filter(segment="caption", language=language, special=False)
        own = chosen.filter(image_id=paired.images[3])["place"].to_numpy()
        dense = codes[own].toarray()
        assert side.rows[3] == len(own)
        np.testing.assert_allclose(side.rates[[3]].toarray()[0], (dense > 0).mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(side.means[[3]].toarray()[0], dense.mean(axis=0), rtol=1e-6)


def test_selectivity_and_its_interval_equal_a_ratio_over_units() -> None:
    paired = drawn_captions(1, specific=5)
    design = halves(paired)
    table = profile_layer(paired, design).table
    units = np.arange(len(design.test.images)) // 2
    dense = [side.rates.toarray()[len(design.select.images) :] for side in (paired.first, paired.second)]
    for row in table.filter(pl.col("feature").is_in([10, 30, 50])).iter_rows(named=True):
        one, other = (side[:, row["feature"]] for side in dense)
        expected = bootstrap_ratio(one - other, one + other, 1000, 0, units)
        assert (row["low"], row["selectivity"], row["high"]) == pytest.approx(tuple(expected))
    assert set(table.filter(pl.col("feature") >= 55)["class"]) == {"en"}


def test_lape_is_the_entropy_of_normalised_rates() -> None:
    rates = np.random.default_rng(0).random((2, 20))
    np.testing.assert_allclose(lape(rates), stats.entropy(rates, axis=0))
    assert lape(np.array([[0.3], [0.0]]))[0] == 0 and np.isnan(lape(np.zeros((2, 1)))[0])


def estimates_of(paired: PairedCaptions) -> dict[str, str]:
    design = halves(paired)
    found = profile_layer(paired, design)
    summary = summary_table({"SAE": {3: found}}, classes_of(LANGUAGES), 40, 0)
    return {one.name: one.verdict for one in findings(summary, LANGUAGES, design.config, 1, "images")}


def test_nothing_is_found_where_the_languages_do_not_differ() -> None:
    verdicts = [verdict for seed in range(5) for verdict in estimates_of(drawn_captions(seed)).values()]
    assert "found" not in verdicts
    planted = estimates_of(drawn_captions(0, specific=8))
    assert planted["specific.en"] == planted["selectivity.en"] == "found"
    assert planted["specific.ar"] != "found"


def test_the_frozen_dictionary_stands_beside_the_sae(world: AnalysisInputs) -> None:
    result = run(replace(world, open_frozen=world.open_layer), CONFIG)
    beyond = {one.name: one for one in result.estimates if "frozen" in one.name}
    assert set(beyond) == {"en.beyond_frozen", "ar.beyond_frozen", "shared.beyond_frozen"}
    assert all(one.value == 0 and one.verdict == "not tested" for one in beyond.values())
    assert result.tables["classes"]["dictionary"].unique().sort().to_list() == ["SAE", "frozen"]


def test_layers_without_live_features_have_no_shares(world: AnalysisInputs) -> None:
    opened = world.open_layer(2)
    silent = replace(opened, index=Index(sparse.csr_array(activations_of(opened).shape)))
    found = run(replace(world, open_layer=lambda layer: silent if layer == 2 else world.open_layer(layer)), CONFIG)
    assert found.tables["classes"].filter(layer=2)["share"].null_count() == 4
    assert found.metrics["share_en"] == found.tables["classes"].filter(**{"layer": 1, "class": "en"})["share"][0]
    assert figures(found.tables).keys() == {"classes", "selectivity"}
    none = run(replace(world, open_layer=lambda layer: silent, open_frozen=lambda layer: silent), CONFIG)
    assert none.tables["profiles"].is_empty() and none.tables["summary"]["p"].null_count() == 10
    assert {one.verdict for one in none.estimates} == {"not tested"} and not none.metrics and not figures(none.tables)


def test_one_language_cannot_be_compared(world: AnalysisInputs) -> None:
    with pytest.raises(BadInput, match=r"analyses\.language_specific: 10 images of split select"):
        run(replace(world, languages=("en",)), CONFIG)
    with pytest.raises(ValueError, match="must be below specific"):
        Config(shared=0.8)
