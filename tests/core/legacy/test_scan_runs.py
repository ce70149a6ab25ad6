"""Older concept scans: read as they are, written as older scripts read them, and continued where they stopped."""

import json
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.concepts.card import ScanSource
from core.concepts.encoding import Target
from core.concepts.scanned import ScannedSAE
from core.concepts.taken_over import imported_folders, take_over
from core.errors import BadInput
from core.legacy.scan_files import OldScan
from core.legacy.scan_runs import export_scans, import_scan, open_old_run
from core.sae.architectures import SparseAutoencoder
from tests.core.concepts.scan_world import Captured, F, capture, dense_code, jump_relu, scan, sentence_table
from tests.core.legacy.old_scans import old_members, write_old, write_progress

SOURCE = ScanSource(key="layer_1/width_48/average_l0_9", layer=1, declared_l0=9)
MULTILINGUAL = ("A woman sings in a park.", "طبيبة تغني 😀 في حديقة", " a book ")


@pytest.fixture(scope="module")
def captured(tiny_text_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Captured:
    return capture(tiny_text_gemma, tmp_path_factory.mktemp("sentences"), sentence_table())


def dense_of(captured: Captured, sae: SparseAutoencoder) -> np.ndarray:
    return dense_code(sae, captured.dense_stream).numpy()


def told(path: Path) -> str:
    with pytest.raises(BadInput) as raised:
        list(OldScan.open(path).blocks())
    line = str(raised.value)
    assert "\n" not in line and str(path) in line
    return line


def test_an_old_file_is_imported_as_it_is(captured: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.features.columns._BLOCK_ELEMENTS", F * 5)
    dense = dense_of(captured, jump_relu())
    path = write_old(tmp_path / "old", 9, old_members(captured, dense))
    target = Target(tmp_path / "sae", "float32")
    card = import_scan(OldScan.open(path), captured.sentences, SOURCE, target)
    assert (card.imported_from, card.features, card.declared_l0) == (path.name, F, 9)
    assert not [one for one in target.folder.iterdir() if one.is_dir()]
    scan(captured, jump_relu(), tmp_path / "ours")
    theirs, ours = ScannedSAE.open(target.folder), ScannedSAE.open(tmp_path / "ours")
    assert theirs.rows.drop("token").equals(ours.rows.drop("token"))
    np.testing.assert_array_equal(theirs.csr(0, len(dense))[1], ours.csr(0, len(dense))[1])
    np.testing.assert_allclose(theirs.csr(0, len(dense))[2], ours.csr(0, len(dense))[2], rtol=1e-5)


def test_words_are_known_in_old_fragments_of_parts_of_characters(tiny_text_gemma: Path, tmp_path: Path) -> None:
    captured = capture(tiny_text_gemma, tmp_path, sentence_table(MULTILINGUAL))
    members = old_members(captured, dense_of(captured, jump_relu()))
    texts = members["fragments"].tolist()
    for place in range(1, len(texts)):  # as decoding the bytes of half an emoji spells it
        if texts[place].endswith("😀") and texts[place + 1].endswith("😀"):
            texts[place] = texts[place][:-1] + "\ufffd"
    assert sum("\ufffd" in text for text in texts) == 3
    path = write_old(tmp_path / "old", 9, members | {"fragments": np.array(texts)})
    import_scan(OldScan.open(path), captured.sentences, SOURCE, Target(tmp_path / "sae"))
    theirs = ScannedSAE.open(tmp_path / "sae").rows
    columns = ["sentence_id", "token_index", "word", "ends_word", "is_full"]
    assert theirs.select(columns).equals(captured.fragments.rows.select(columns))


def test_old_files_go_round(captured: Captured, tmp_path: Path) -> None:
    keys = {"layer_1/a": 9.0, "layer_1/b": 20.5}
    for number, (key, l0) in enumerate(keys.items()):
        scan(captured, jump_relu(number), tmp_path / f"sae{number}", key=key, declared_l0=l0)
    scans = [ScannedSAE.open(tmp_path / f"sae{number}") for number in range(2)]
    paths = export_scans(scans, captured.sentences, tmp_path / "old")
    assert [path.name for path in paths] == ["layer_1_l0_9_activations.npz", "layer_1_l0_20.5_activations.npz"]
    assert json.loads((tmp_path / "old" / "batch_progress.json").read_text()) == {"last_completed": 1}
    expected = old_members(captured, dense_of(captured, jump_relu()))
    with np.load(paths[0], allow_pickle=False) as found:
        assert set(found) == set(expected)
        for name, array in expected.items():
            compare = np.testing.assert_allclose if name == "activations" else np.testing.assert_array_equal
            compare(found[name], array, **({"rtol": 1e-5} if name == "activations" else {}))
    run = open_old_run(tmp_path / "old")
    assert run.stated == 2 and not run.faults
    for scanned, old in zip(scans, (run.files[1, 9.0], run.files[1, 20.5]), strict=True):
        back = Target(tmp_path / f"back{old.l0:g}", "float32")
        import_scan(old, captured.sentences, scanned.card, back)
        for name in ("csr_indptr", "csr_features", "csr_values", "csc_rows"):
            assert (back.folder / f"{name}.npy").read_bytes() == (scanned.folder / f"{name}.npy").read_bytes()


def test_two_scans_of_one_layer_and_l0_are_not_exported_over_each_other(captured: Captured, tmp_path: Path) -> None:
    for key in ("a", "b"):
        scan(captured, jump_relu(), tmp_path / key, key=key, declared_l0=9)
    scans = [ScannedSAE.open(tmp_path / key) for key in "ab"]
    with pytest.raises(BadInput, match=r"layer_1_l0_9_activations\.npz: a, b would all be called so"):
        export_scans(scans, captured.sentences, tmp_path / "old")


def test_a_half_finished_run_is_continued_and_what_is_done_is_never_encoded(captured: Captured, tmp_path: Path) -> None:
    saes = {l0: jump_relu(l0) for l0 in (9, 20, 30, 40)}
    dense = {l0: dense_of(captured, sae) for l0, sae in saes.items()}
    old, names = tmp_path / "old", captured.sentences["sentence_id"].to_list()
    write_old(old, 9, old_members(captured, dense[9]))
    write_old(old, 20, old_members(captured, dense[20], names[:2] + names[3:4]))
    cut = write_old(old, 30, old_members(captured, dense[30]))
    cut.write_bytes(cut.read_bytes()[:-500])
    write_progress(old, 1)
    run = open_old_run(old)
    assert run.stated == 2 and set(run.files) == {(1, 9.0), (1, 20.0)}
    assert list(run.faults) == [cut.name] and "damaged or cut short" in run.faults[cut.name]

    for l0, old_file in ((9, run.files[1, 9.0]), (20, run.files[1, 20.0])):
        source = SOURCE.model_copy(update={"key": f"l0_{l0}", "declared_l0": l0})
        import_scan(old_file, captured.sentences, source, Target(tmp_path / f"l0_{l0}", "float32"))
    folders = imported_folders(tmp_path)
    assert set(folders) == {"l0_9", "l0_20"}
    assert ScannedSAE.open(folders["l0_20"]).sentences == names[:2] + names[3:4]

    def never() -> SparseAutoencoder:
        raise AssertionError("what is done is encoded")

    for l0, opened in ((9, never), (20, lambda: saes[20])):
        imported, source = ScannedSAE.open(folders[f"l0_{l0}"]), SOURCE.model_copy(update={"declared_l0": l0})
        card = take_over(imported, opened, captured.fragments, source, Target(tmp_path / f"whole{l0}", "float32"))
        assert card.imported_from == f"layer_1_l0_{l0}_activations.npz"
        scan(captured, saes[l0], tmp_path / f"straight{l0}")
        straight, continued = ScannedSAE.open(tmp_path / f"straight{l0}"), ScannedSAE.open(tmp_path / f"whole{l0}")
        assert continued.sentences == straight.sentences == names
        np.testing.assert_allclose(continued.maxima().toarray(), straight.maxima().toarray(), rtol=1e-5)
        np.testing.assert_allclose(continued.full_sentences().toarray(), straight.full_sentences().toarray(), rtol=1e-5)


def test_an_older_scan_of_other_tokens_is_not_taken_over(captured: Captured, tmp_path: Path) -> None:
    members = old_members(captured, dense_of(captured, jump_relu()))
    joined = np.delete(np.arange(len(members["fragments"])), 1)  # its first two tokens as one
    part = {name: value[joined] if np.ndim(value) else value for name, value in members.items()}
    first = part["sentence_indices"] == 0
    part["token_positions"] = np.where(first, np.cumsum(first) - 1, part["token_positions"])
    old = OldScan.open(write_old(tmp_path / "old", 9, part))
    import_scan(old, captured.sentences, SOURCE, Target(tmp_path / "sae", "float32"))
    with pytest.raises(BadInput, match="has other tokens than this model's"):
        take_over(ScannedSAE.open(tmp_path / "sae"), jump_relu, captured.fragments, SOURCE, Target(tmp_path / "out"))


def test_a_folder_of_no_imported_sae_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no imported SAE; name what `saeflow concept import` wrote"):
        imported_folders(tmp_path)


def test_a_sentence_of_which_fragments_are_missing_is_not_done(captured: Captured, tmp_path: Path) -> None:
    members = old_members(captured, dense_of(captured, jump_relu()))
    first = np.flatnonzero(members["sentence_indices"] == 0)
    for number, left_out in enumerate((first[-1], first[2])):
        kept = np.delete(np.arange(len(members["fragments"])), left_out)
        part = {name: value[kept] if np.ndim(value) else value for name, value in members.items()}
        old = OldScan.open(write_old(tmp_path, 9, part))
        import_scan(old, captured.sentences, SOURCE, Target(tmp_path / f"sae{number}"))
        assert ScannedSAE.open(tmp_path / f"sae{number}").sentences == captured.sentences["sentence_id"].to_list()[1:]


def test_damaged_old_files_are_told_in_one_line(captured: Captured, tmp_path: Path) -> None:
    members = old_members(captured, dense_of(captured, jump_relu()))

    def changed(**more: object) -> Path:
        return write_old(tmp_path, 9, {name: value for name, value in (members | more).items() if value is not None})

    path = changed()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "damaged or cut short (File is not a zip file); compute this SAE again" in told(path)
    path = changed()
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("activations.npy").header_offset
    spoilt = bytearray(content)
    spoilt[start + 500] ^= 0xFF
    path.write_bytes(bytes(spoilt))
    assert "is damaged or cut short" in told(path)
    assert "sentence_indices.npy" in told(changed(sentence_indices=None))
    assert "Object arrays cannot be loaded" in told(changed(fragments=members["fragments"].astype(object)))
    assert "activations are int64" in told(changed(activations=np.ones((4, 4), int)))
    assert "activations are float32 [4]" in told(changed(activations=np.ones(4, np.float32)))
    assert "different numbers of fragments" in told(changed(activations=members["activations"][:-1]))
    assert "negative, NaN or Inf" in told(changed(activations=members["activations"] * np.nan))
    assert "is not named like" in told(changed().rename(tmp_path / "layer_x.npz"))
    with pytest.raises(BadInput, match="holds none of the sentences"):
        other = captured.sentences.with_columns(pl.col("sentence") + "?")
        import_scan(OldScan.open(changed()), other, SOURCE, Target(tmp_path / "sae"))


def test_what_is_no_old_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds neither layer_"):
        open_old_run(tmp_path)
    for content in ("[]", "{}", '{"last_completed": null}', "\xff"):
        (tmp_path / "batch_progress.json").write_bytes(content.encode("latin-1"))
        with pytest.raises(BadInput, match=r"batch_progress\.json: is damaged"):
            open_old_run(tmp_path)
    write_progress(tmp_path, -1)
    assert open_old_run(tmp_path).stated == 0
