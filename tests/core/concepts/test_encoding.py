"""A scanned SAE holds what a dense encoder gives, by rows and by features, in both precisions."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import saeflow
from core.concepts.card import ScanCard
from core.concepts.encoding import Fragments, write_control
from core.concepts.scanned import ScannedSAE
from core.errors import BadInput
from core.features.backends.csc import CscColumns
from tests.core.concepts.scan_world import Captured, F, dense_code, jump_relu, scan
from tests.core.sae.dictionary import random_sae


@pytest.fixture(scope="module")
def folder(captured: Captured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scan") / "sae"
    scan(captured, jump_relu(), out, "float16")
    write_control(captured.fragments, out, seed=3)
    return out


@pytest.fixture(scope="module")
def dense(captured: Captured) -> np.ndarray:
    return dense_code(jump_relu(), captured.dense_stream).numpy()


@pytest.mark.parametrize("values", ["float16", "float32"])
def test_rows_and_columns_equal_a_dense_encoder(
    values: str, captured: Captured, dense: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.features.columns._BLOCK_ELEMENTS", F * 7)  # several blocks
    card = scan(captured, jump_relu(), tmp_path / "sae", values)
    expected = dense.astype(values).astype(np.float32)
    scanned = ScannedSAE.open(tmp_path / "sae")
    indptr, features, found = scanned.csr(0, len(dense))
    by_row = np.zeros_like(dense)
    by_row[np.repeat(np.arange(len(dense)), np.diff(indptr)), features] = found
    by_feature = np.zeros_like(dense)
    for feature in range(F):
        rows, activations = CscColumns(tmp_path / "sae").load(feature)
        assert activations.dtype == np.float32 and bool((np.diff(rows.astype(np.int64)) > 0).all())
        by_feature[rows, feature] = activations
    np.testing.assert_allclose(by_row, expected, rtol=2e-3 if values == "float16" else 1e-5)
    np.testing.assert_array_equal(by_feature, by_row)
    np.testing.assert_array_equal(by_row > 0, dense > 0)
    assert 0.02 < (dense > 0).mean() < 0.9
    stored = np.load(tmp_path / "sae" / "csc_values.npy")
    assert stored.dtype == np.load(tmp_path / "sae" / "csr_values.npy").dtype == np.dtype(values)
    assert card.measured_l0 == pytest.approx((dense > 0).sum(1).mean()) and card.values == values


def test_equal_inputs_give_equal_bytes(captured: Captured, folder: Path, tmp_path: Path) -> None:
    scan(captured, jump_relu(), tmp_path, "float16")
    write_control(captured.fragments, tmp_path, seed=3)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert len(names) == 11
    assert all((tmp_path / name).read_bytes() == (folder / name).read_bytes() for name in names)


def test_the_explorers_store_opens_it(folder: Path, dense: np.ndarray, captured: Captured) -> None:
    store = saeflow.open_store(folder)
    assert (store.backend, store.num_features, store.num_rows) == ("csc", F, len(dense))
    feature = int((dense > 0).sum(0).argmax())
    best = store.examples(feature).row(0, named=True)
    assert best["row"] == dense[:, feature].argmax()
    assert best["fragment"] == captured.fragments.rows["fragment"][best["row"]]


def test_a_topk_is_scanned_too(captured: Captured, tmp_path: Path) -> None:
    card = scan(captured, random_sae(32, F, 5), tmp_path)
    assert 4 < card.measured_l0 <= 5


def test_full_sentences_are_the_rows_of_last_tokens(folder: Path, dense: np.ndarray, captured: Captured) -> None:
    scanned = ScannedSAE.open(folder)
    assert scanned.sentences == captured.sentences["sentence_id"].to_list()
    last = captured.fragments.rows.with_row_index().group_by("sentence_id", maintain_order=True).last()["index"]
    np.testing.assert_allclose(scanned.full_sentences().toarray(), dense[last.to_numpy()], rtol=1e-3)


def test_maxima_are_over_the_fragments_of_a_sentence(folder: Path, dense: np.ndarray, captured: Captured) -> None:
    names = captured.fragments.rows["sentence_id"].to_numpy()
    expected = np.stack([dense[names == name].max(0) for name in captured.sentences["sentence_id"]])
    maxima = ScannedSAE.open(folder).maxima()
    np.testing.assert_allclose(maxima.toarray(), expected, rtol=1e-3)
    assert maxima.has_sorted_indices and (maxima.data > 0).all()
    assert (maxima.toarray() > ScannedSAE.open(folder).full_sentences().toarray()).any()


def test_a_feature_s_maxima_are_its_column(folder: Path) -> None:
    scanned = ScannedSAE.open(folder)
    maxima = scanned.maxima().toarray()
    for feature in range(scanned.card.features):
        np.testing.assert_array_equal(scanned.maximum(feature), maxima[:, feature])


def test_the_onset_is_the_first_word_at_which_a_feature_fires(folder: Path, dense: np.ndarray) -> None:
    scanned = ScannedSAE.open(folder)
    never = 0
    for feature in range(F):
        onset = scanned.onset(feature)
        assert onset["sentence_id"].to_list() == scanned.sentences
        for sentence, word, fragment in onset.select("sentence_id", "word", "fragment").iter_rows():
            own = scanned.rows.with_row_index("row").filter(pl.col("sentence_id") == sentence, "ends_word")
            firing = own.filter(pl.Series(dense[own["row"].to_numpy(), feature] > 0, dtype=pl.Boolean))
            expected = firing.select("word", "fragment").row(0) if len(firing) else (None, None)
            assert (word, fragment) == expected
            never += word is None
    assert 0 < never < F * len(scanned.sentences)


def test_the_control_has_the_saes_size_and_sparsity(captured: Captured, tmp_path: Path) -> None:
    scan(captured, jump_relu(threshold=4.0), tmp_path)
    assert ScannedSAE.open(tmp_path).control() is None
    write_control(captured.fragments, tmp_path, seed=3)
    scanned = ScannedSAE.open(tmp_path)
    control, own = scanned.control(), scanned.full_sentences()
    assert control.shape == own.shape == (5, F)
    np.testing.assert_array_equal(np.diff(control.indptr), np.diff(own.indptr))
    assert 0 < own.nnz < 5 * F // 2 and ((control.toarray() > 0) != (own.toarray() > 0)).any()
    # each is the projection on a unit direction of the sentences less their mean: columns that are whole add up to 0
    x = captured.fragments.stream.read(captured.fragments.last)
    assert control.max() <= (x - x.mean(0)).norm(dim=1).max()
    write_control(captured.fragments, tmp_path, seed=4)
    assert (ScannedSAE.open(tmp_path).control() != control).nnz


def test_too_large_an_activation_is_refused_in_float16_and_kept_in_float32(captured: Captured, tmp_path: Path) -> None:
    sae = jump_relu()
    sae.b_enc[7] = 70_000
    with pytest.raises(BadInput, match=r"average_l0_9: an activation of 70,\d\d\d does not fit into float16.*float32"):
        scan(captured, sae, tmp_path / "narrow", "float16")
    assert not (tmp_path / "narrow" / "scan.json").exists()
    scan(captured, sae, tmp_path / "wide")
    assert ScannedSAE.open(tmp_path / "wide").activations(7)[1].max() > 65_504


def test_too_small_an_activation_for_float16_stays_active(captured: Captured, tmp_path: Path) -> None:
    sae = jump_relu(threshold=0.0)
    sae.W_enc[:, 7], sae.b_enc[7] = 0, 1e-9
    scan(captured, sae, tmp_path, "float16")
    rows, values = ScannedSAE.open(tmp_path).activations(7)
    assert len(rows) == len(captured.fragments.stream) and (values > 0).all() and values.max() < 1e-7


@dataclass(frozen=True)
class Spoilt:
    x: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)

    def block(self, start: int, stop: int) -> torch.Tensor:
        return self.x[start:stop]

    def read(self, rows: np.ndarray) -> torch.Tensor:
        return self.x[torch.from_numpy(rows)]


def test_rows_of_nan_are_refused(captured: Captured, tmp_path: Path) -> None:
    x = captured.dense_stream.clone()
    x[3, 4] = torch.nan
    spoilt = replace(captured, fragments=Fragments(Spoilt(x), captured.fragments.rows))
    with pytest.raises(BadInput, match="NaN or Inf in row 3; set nonfinite: recompute"):
        scan(spoilt, jump_relu(), tmp_path)


def test_no_sentences_give_an_empty_scan(captured: Captured, tmp_path: Path) -> None:
    nothing = Fragments(Spoilt(captured.dense_stream[:0]), captured.fragments.rows[:0])
    card = scan(replace(captured, fragments=nothing), jump_relu(), tmp_path)
    assert (card.fragments, card.sentences, card.measured_l0) == (0, 0, 0)
    scanned = ScannedSAE.open(tmp_path)
    assert scanned.full_sentences().shape == scanned.maxima().shape == (0, F)
    assert len(scanned.activations(3)[0]) == 0


def test_a_damaged_scan_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    def spoil(name: str, content: bytes | None) -> str:
        place = tmp_path / name.replace(".", "-")
        shutil.copytree(folder, place)
        (place / name).unlink()
        if content is not None:
            (place / name).write_bytes(content)
        with pytest.raises(BadInput) as raised:
            ScannedSAE.open(place)
        line = str(raised.value)
        assert "\n" not in line
        return line

    assert "is no scanned SAE (scan.json is missing)" in spoil("scan.json", None)
    assert "scan this SAE again" in spoil("csr_values.npy", b"\x93NUMPY")
    assert "scan this SAE again" in spoil("rows.parquet", b"PAR1")
    assert "scan this SAE again" in spoil("csr_features.npy", None)
    card = json.loads((folder / "scan.json").read_text())
    (tmp_path / "csr_values-npy" / "scan.json").write_text(json.dumps(card | {"fragments": "many"}))
    with pytest.raises(BadInput, match=r"scan.json: is damaged .*; scan this SAE again"):
        ScanCard.read(tmp_path / "csr_values-npy")
    with pytest.raises(BadInput, match="has no feature 48; it has features 0-47"):
        ScannedSAE.open(folder).activations(48)
