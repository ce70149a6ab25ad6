"""What a ranking and its report are put together from: scanned SAEs, their directions, what is shown of a feature."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from core.concepts.assembled import assemble
from core.concepts.encoding import write_control
from core.concepts.matched import decoder_matches
from core.concepts.matched_lengths import matched_auroc
from core.concepts.matched_maxima import MAXIMA, matched_maxima
from core.concepts.promoted import promoted_features
from core.concepts.scanned import ScannedSAE
from core.concepts.shown import examples, onsets
from core.errors import BadInput
from core.sae.architectures import SparseAutoencoder
from core.study.concept_scan import OutputConfig, RankingSettings
from tests.core.concepts.scan_world import TEXTS, Captured, dense_code, jump_relu, scan


@dataclass(frozen=True)
class Scanned:
    captured: Captured
    saes: dict[str, SparseAutoencoder]
    folders: list[Path]
    table: pl.DataFrame

    def load(self, key: str) -> SparseAutoencoder:
        return self.saes[key]


@pytest.fixture(scope="module")
def scanned(captured: Captured, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """Two SAEs of one layer, scanned, each with its random dictionary."""
    saes = {"one": jump_relu(0), "two": jump_relu(1)}
    folders = [tmp_path_factory.mktemp(key) for key in saes]
    for (key, sae), folder in zip(saes.items(), folders, strict=True):
        scan(captured, sae, folder, key=key)
        write_control(captured.fragments, folder, seed=0)
    families = [f"f{number}" for number in range(len(TEXTS))]
    table = captured.sentences.with_columns(pl.Series("family", families), pl.lit("held-out").alias("split"))
    return Scanned(captured, saes, folders, table)


def test_columns_are_the_saes_features_at_each_sentence_s_last_token(scanned: Scanned) -> None:
    sentences, beside = assemble(scanned.table, scanned.folders, scanned.captured.shards)
    last = scanned.captured.fragments.last
    x = scanned.captured.dense_stream[last]
    dense = torch.cat([dense_code(sae, x) for sae in scanned.saes.values()], dim=1)
    np.testing.assert_allclose(sentences.active.toarray(), dense.detach().numpy(), atol=1e-5)
    assert sentences.columns.saes() == ["one"] * 48 + ["two"] * 48
    ids = scanned.captured.fragments.rows["sentence_id"].to_numpy()
    order = ids[last].tolist()
    assert beside.texts == [TEXTS[int(name[1:])] for name in order]
    np.testing.assert_allclose(np.exp(sentences.log_length), [np.count_nonzero(ids == name) for name in order])
    np.testing.assert_allclose(beside.streams[1], x.numpy(), atol=1e-6)
    assert beside.random is not None
    fewer = (beside.random.active != 0).sum(axis=1) <= (sentences.active != 0).sum(axis=1)
    assert fewer.all()


def test_maxima_are_compared_among_held_out_sentences_of_like_length(scanned: Scanned) -> None:
    labels = np.arange(len(TEXTS)) % 2 * 3
    table = scanned.table.with_columns(pl.Series("label", labels, dtype=pl.Int8))
    assembled, _ = assemble(table, scanned.folders, scanned.captured.shards)
    sentences = replace(assembled, log_length=np.full(len(TEXTS), np.log(10)))
    top = pl.DataFrame({"sae": ["two", "one"], "feature": [7, 30]})
    settings = RankingSettings(bootstrap=50)
    found = matched_maxima(top, sentences, scanned.folders, settings)
    assert found.schema == MAXIMA and found["sae"].to_list() == ["two", "one"]
    opened = ScannedSAE.open(scanned.folders[1])
    own = matched_auroc(opened.maximum(7), np.full(len(TEXTS), 10), sentences.labels == 3, sentences.families, (50, 0))
    assert own.pairs > 0 and found["auroc"][0] == pytest.approx(own.area.mean) and found["pairs"][0] == own.pairs
    unlike = replace(sentences, log_length=np.arange(len(TEXTS), dtype=np.float64))
    none = matched_maxima(top, unlike, scanned.folders, settings)
    assert none["auroc"].to_list() == [None, None] and none["pairs"].to_list() == [0, 0]


def test_the_nearest_direction_is_found_in_the_layers_beside_and_no_further(scanned: Scanned) -> None:
    moved = jump_relu(2)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        moved.W_dec.copy_(scanned.saes["one"].W_dec[order] * 3)
    saes = {**scanned.saes, "moved": moved, "far": jump_relu(3)}
    layers = {"one": 1, "two": 1, "moved": 2, "far": 3}
    declared = [{"key": key, "layer": layer, "site": "resid_post"} for key, layer in layers.items()]
    top = pl.DataFrame({"sae": ["one", "one"], "feature": [7, 30]})
    found = decoder_matches(top, declared, lambda key: saes[key])
    assert set(found["other_sae"]) == {"two", "moved"}
    same = found.filter(other_sae="moved").sort("feature")
    assert [int(order[other]) for other in same["other_feature"]] == [7, 30]
    assert same["cosine"].to_list() == pytest.approx([1, 1], abs=1e-5)
    unrelated = found.filter(other_sae="two").sort("feature")["cosine"].to_list()
    rows = torch.nn.functional.normalize(scanned.saes["one"].W_dec[[7, 30]], dim=1)
    others = torch.nn.functional.normalize(scanned.saes["two"].W_dec, dim=1)
    assert unrelated == pytest.approx((rows @ others.T).max(dim=1).values.tolist(), abs=1e-5)


def test_an_sae_that_cannot_be_read_has_no_match(scanned: Scanned) -> None:
    def load(key: str) -> SparseAutoencoder:
        if key == "two":
            raise BadInput("two: damaged")
        return scanned.saes[key]

    declared = [{"key": key, "layer": 1, "site": "resid_post"} for key in ("one", "two")]
    assert decoder_matches(pl.DataFrame({"sae": ["one"], "feature": [7]}), declared, load).is_empty()


def test_promoted_vectors_have_the_feature_s_sign_and_strength_and_controls_their_length(scanned: Scanned) -> None:
    opened = ScannedSAE.open(scanned.folders[0])
    counts = [len(opened.activations(feature)[0]) for feature in range(48)]
    busiest = sorted(range(48), key=lambda feature: -counts[feature])
    rows = [
        {"sae": "one", "feature": busiest[0], "spearman": -0.4},
        {"sae": "one", "feature": busiest[1], "spearman": 0.3},
    ]
    top = pl.DataFrame(rows)
    falls, rises = promoted_features(top, scanned.folders, scanned.load, OutputConfig(features=2, controls=19))
    assert (falls.sign, rises.sign) == (-1, 1)
    strength = float(np.quantile(opened.activations(busiest[0])[1].astype(np.float64), 0.995))
    expected = -strength * scanned.saes["one"].W_dec[busiest[0]].detach()
    torch.testing.assert_close(falls.vector, expected)
    lengths = falls.controls.norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, float(falls.vector.norm())))


def test_examples_are_the_strongest_held_out_sentences_of_each_label(scanned: Scanned) -> None:
    opened = ScannedSAE.open(scanned.folders[0])
    feature = max(range(48), key=lambda one: len(opened.activations(one)[0]))
    found = examples(opened, scanned.table, feature, each=1)
    values = np.zeros(opened.rows.height)
    active, strengths = opened.activations(feature)
    values[active] = strengths
    best = opened.rows.with_columns(pl.Series("value", values)).group_by("sentence_id").agg(pl.col("value").max())
    labelled = scanned.table.join(best, on="sentence_id")
    for row in found.iter_rows(named=True):
        own = labelled.filter(pl.col("label") == row["label"])
        assert row["max"] == own["value"].max()
        assert "".join(part["token"] for part in row["strip"]).replace("▁", " ").strip()
        assert max(part["value"] for part in row["strip"]) == row["max"]
    assert found["label"].to_list() == sorted(found["label"].to_list(), reverse=True)
    none = examples(opened, scanned.table.with_columns(pl.lit("selection").alias("split")), feature, each=1)
    assert none.is_empty()


def test_an_onset_rises_to_the_share_of_sentences_that_fire_at_a_word(scanned: Scanned) -> None:
    opened = ScannedSAE.open(scanned.folders[0])
    feature = max(range(48), key=lambda one: len(opened.activations(one)[0]))
    found = onsets(opened, scanned.table, feature)
    for label in found["label"].unique():
        own = found.filter(pl.col("label") == label).sort("word")
        shares = own["share"].to_list()
        assert shares == sorted(shares) and own["word"].to_list() == list(range(1, own.height + 1))
        first = scanned.table.filter(pl.col("label") == label).join(opened.onset(feature), on="sentence_id")["word"]
        assert shares[-1] == pytest.approx(float((first <= own.height).fill_null(False).mean()))
