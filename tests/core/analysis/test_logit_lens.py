"""The lens reads the planted word's token from the planted layer on, and nothing in shuffled labels."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from scipy.stats import rankdata

from core.analysis.logit_lens import Config
from core.analysis.logit_lens.figures import figures
from core.analysis.logit_lens.rows import lens_rows, places
from core.analysis.logit_lens.run import run
from core.analysis.result import Result
from core.features.inputs import AnalysisInputs
from core.lm import lens
from core.report.sentences import verdicts
from core.sae.architectures import SparseAutoencoder
from tests.core.features.planted_world import Table, World, make_inputs, read_planted_sets

CONFIG = Config(bootstrap=40, permutations=199, caption_rows=60, k=3)
VOCABULARY, FEMALE, MALE = 60, 30, 31
WORLD = World(images=120)


def unembedding(decoder: torch.Tensor) -> torch.Tensor:
    """A vocabulary [D, V] in which the two sides' words lie along the planted features' directions."""
    words = 0.4 * torch.randn(decoder.shape[1], VOCABULARY, generator=torch.Generator().manual_seed(3))
    words[:, [FEMALE, MALE]] = decoder[:2].T
    return words


def dictionary(decoder: torch.Tensor, bias: torch.Tensor) -> SparseAutoencoder:
    sae = SparseAutoencoder(decoder.shape[1], len(decoder), 3)
    sae.W_dec.data, sae.W_enc.data, sae.b_dec.data = decoder.clone(), decoder.T.clone(), bias.clone()
    return sae


def planted(monkeypatch: pytest.MonkeyPatch, shuffled_by: int | None = None, last: int = 3) -> AnalysisInputs:
    monkeypatch.setattr("core.features.row_groups.position_sets", read_planted_sets)
    inputs = make_inputs(WORLD)
    views = {}
    for layer in inputs.layers:
        view = inputs.open_layer(layer)
        tokens = view.table.tokens.with_columns(pl.col("index").alias("origin"))
        table: Any = Table(tokens, view.table.block(0, len(view.table)).numpy())
        views[layer] = replace(view, table=table, sae=dictionary(view.sae.W_dec, view.sae.b_dec))
    decoder, bias = views[0].sae.W_dec.detach(), views[0].sae.b_dec.detach()
    words = unembedding(decoder)
    monkeypatch.setattr("core.lm.lens.lens_logits", lambda loaded, stream: (stream - bias) @ words)
    tokenizer = SimpleNamespace(convert_ids_to_tokens=lambda ids: [f"t{one}" for one in ids])
    model: Any = SimpleNamespace(
        unembedding=words.T, shape=SimpleNamespace(num_layers=last + 1), device=torch.device("cpu"), tokenizer=tokenizer
    )
    other = dictionary(
        torch.nn.functional.normalize(torch.randn(40, 12, generator=torch.Generator().manual_seed(1))), bias
    )
    samples = inputs.samples
    if shuffled_by is not None:
        order, tested = np.arange(samples.height), np.flatnonzero(samples["split"] == "test")
        order[tested] = np.random.default_rng(shuffled_by).permutation(tested)  # of training captions come the words
        samples = samples.with_columns(samples[name][order].alias(name) for name in ("gender_en", "gender_ar"))
    return replace(
        inputs,
        samples=samples,
        open_model=lambda: model,
        open_layer=lambda layer: replace(views[layer], samples=samples),
        open_frozen=lambda layer: replace(views[layer], sae=other),
    )


@pytest.fixture(scope="module")
def found() -> tuple[AnalysisInputs, Result]:
    with pytest.MonkeyPatch.context() as patch:
        inputs = planted(patch)
        return inputs, run(inputs, CONFIG)


def test_the_word_is_read_from_the_planted_layer_on_in_both_languages(found: tuple[AnalysisInputs, Result]) -> None:
    _, result = found
    plain = result.tables["onsets"].filter(read="stream")
    assert plain["onset"].to_list() == [1, 1] and plain["q"].max() <= 0.05
    assert (plain["own_rank"] < plain["other_rank"]).all() and (plain["ahead_low"] > 0).all()
    assert verdicts(result.estimates) == {"en": "found", "ar": "found"}
    assert all("selection split" in one.chosen for one in result.estimates if one.name in ("onset.en", "onset.ar"))
    first = result.tables["lens"].filter(layer=0, read="stream", rows="before the word")
    assert first["auroc"].max() < 0.8 and first["low"].min() < 0.6
    words = result.tables["words"]
    assert set(words.select("side", "token_id").rows()) == {("female", FEMALE), ("male", MALE)}


def test_ranks_are_scipys_in_the_rows_before_the_word(
    found: tuple[AnalysisInputs, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, result = found
    inputs = planted(monkeypatch)
    view = inputs.open_layer(2)
    rows = next(rows for rows in lens_rows(view, inputs, CONFIG)[0] if rows.language == "en")
    before = (rows.table["kind"] == "before the word").to_numpy()
    at = places(view, rows)[before]
    assert set(view.table.tokens[at]["position_set"]) == {"pre-gender"} and set(view.table.tokens[at]["position"]) == {
        22
    }
    decoder, bias = view.sae.W_dec.detach(), view.sae.b_dec.detach()
    logits = ((view.table.read(at) - bias) @ unembedding(decoder)).numpy()
    ranks = rankdata(-logits, method="min", axis=1)[:, [FEMALE, MALE]]
    positive = rows.table["positive"].to_numpy().astype(bool)[before]
    own = np.where(positive, ranks[:, 0], ranks[:, 1])
    kept = (
        result.tables["lens"].filter(layer=2, language="en", read="stream", rows="before the word").row(0, named=True)
    )
    assert kept["own_rank"] == pytest.approx(2 ** np.median(np.log2(own)))
    share = np.where(positive, ranks[:, 1], ranks[:, 0])
    assert kept["ahead"] == pytest.approx(np.mean(np.log2(share) - np.log2(own)))


def test_the_layer_is_chosen_on_selection_images_and_tested_on_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where selection images lost their labels, the last layer is quoted though test images have an onset."""
    inputs = planted(monkeypatch)
    lost = pl.when(split="select").then(pl.lit("none")).otherwise(pl.col("gender_en")).alias("gender_en")
    samples = inputs.samples.with_columns(lost)
    view = inputs.open_layer
    result = run(
        replace(inputs, samples=samples, open_layer=lambda layer: replace(view(layer), samples=samples)), CONFIG
    )
    onsets = result.tables["onsets"].filter(read="stream")
    assert dict(onsets.select("language", "onset").iter_rows()) == {"en": None, "ar": 1}
    assert onsets.filter(language="en")["layer"].item() == 3
    every = result.tables["onsets"]
    np.testing.assert_allclose(every["q"], stats.false_discovery_control(every["p"].to_numpy()))


def test_each_row_goes_through_the_vocabulary_head_once_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times: as the stream, as either dictionary rebuilds it, and as it ends."""
    inputs, rows = planted(monkeypatch), []
    head = lens.lens_logits
    monkeypatch.setattr("core.lm.lens.lens_logits", lambda *given: rows.append(len(given[1])) or head(*given))
    run(inputs, CONFIG.model_copy(update={"layers": (2,)}))
    wanted = lens_rows(inputs.open_layer(2), inputs, CONFIG)[0]
    assert sum(rows) == 4 * sum(one.table.height for one in wanted)


def test_the_last_layer_is_at_no_distance_from_itself_and_the_sae_leaves_out_less(
    found: tuple[AnalysisInputs, Result],
) -> None:
    _, result = found
    last = result.tables["lens"].filter(layer=3, read="stream")
    assert last["kl"].max() < 1e-6 and last["agrees"].min() == 1
    assert result.tables["lens"].filter(layer=0, read="stream")["kl"].min() > 0.01
    before = result.tables["lens"].filter(language="en", rows="before the word")
    over = {read: before.filter(read=read)["auroc"].to_numpy().mean() for read in ("SAE", "frozen dictionary")}
    one = next(one for one in result.estimates if one.name == "beyond_frozen.en")
    assert one.value == pytest.approx(over["SAE"] - over["frozen dictionary"])
    through = result.tables["lens"].filter(layer=2, rows="before the word")
    errors = dict(through.filter(language="en").select("read", "error").iter_rows())
    assert errors["SAE"] < errors["frozen dictionary"] and errors["stream"] is None


def test_every_estimate_is_an_entry_of_its_table_and_figures_are_drawn(found: tuple[AnalysisInputs, Result]) -> None:
    _, result = found
    for one in result.estimates:
        row = result.tables[one.source.table].filter(pl.lit(True), **one.source.key)
        assert row.height == 1 and row[one.source.column].item() == one.value, one.name
    drawn = figures(result.tables)
    assert set(drawn) == {"ranks", "order", "certainty", "top_tokens"}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())


def test_shuffled_labels_are_found_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [run(planted(monkeypatch, seed), CONFIG).estimates for seed in range(2)]
    assert all(any(one.name == "onset.en" for one in found) for found in told)
    assert sum(any(one.verdict == "found" for one in found) for found in told) <= 1


def test_without_the_last_layer_there_is_no_kl(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = planted(monkeypatch, last=9)
    result = run(inputs, CONFIG.model_copy(update={"layers": (1, 2)}))
    assert result.tables["lens"]["kl"].null_count() == result.tables["lens"].height
    assert any("last layer was not captured" in note for note in result.notes)
    assert {one.verdict for one in result.estimates if one.name.startswith("onset")} == {"not tested"}
