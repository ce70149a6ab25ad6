import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import BadInput
from core.lm.loading import load_model
from core.lm.packages import package_files


def test_the_parts_of_a_vision_language_model_are_found(tiny_gemma: Path) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    assert loaded.blocks is loaded.model.model.language_model.layers
    assert loaded.final_norm is loaded.model.model.language_model.norm
    assert loaded.base is loaded.model.model
    assert loaded.unembedding.shape == (loaded.shape.vocab_size, 32)
    assert loaded.image_token_id == loaded.tokenizer.convert_tokens_to_ids("<image_soft_token>")


def test_the_parts_of_a_text_model_are_found(tiny_text_gemma: Path) -> None:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    assert loaded.blocks is loaded.model.model.layers
    assert loaded.processor is None
    assert loaded.image_token_id is None


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox"])
def test_decoders_of_other_families_are_found_by_structure(kind: str, tmp_path: Path, tiny_text_gemma: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    grouped = {"num_key_value_heads": 2} if kind == "qwen2" else {}  # whose default is more than the heads there are
    config = AutoConfig.for_model(kind, vocab_size=600, **sizes, **grouped)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_text_gemma / name, tmp_path / name)
    loaded = load_model(tmp_path, "float32", "cpu")
    assert len(loaded.blocks) == 3
    assert loaded.unembedding.shape == (600, 16)


def test_a_loaded_model_is_ready_for_reading(tiny_gemma: Path) -> None:
    loaded = load_model(tiny_gemma, "bfloat16", "cpu")
    assert not loaded.model.training
    assert all(not weight.requires_grad for weight in loaded.model.parameters())
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.bfloat16}
    assert loaded.text_config._attn_implementation == "sdpa"


def test_float16_is_refused(tiny_gemma: Path) -> None:
    with pytest.raises(BadInput, match="'float16' is not one of float32, bfloat16"):
        load_model(tiny_gemma, "float16", "cpu")


def test_damaged_weights_are_told_in_one_line(tiny_text_gemma: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_text_gemma, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(BadInput, match="is damaged or incomplete") as caught:
        load_model(tmp_path / "model", "float32", "cpu")
    assert "\n" not in str(caught.value)


def test_a_missing_processor_is_told(tiny_gemma: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_gemma / name, tmp_path / name)
    with pytest.raises(BadInput, match="processor cannot be loaded"):
        load_model(tmp_path, "float32", "cpu")


def test_a_tokenizer_whose_library_is_not_installed_is_told(tiny_text_gemma: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_text_gemma, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    (tmp_path / "model" / "tokenizer_config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer"}')
    with pytest.raises(BadInput, match="tokenizer cannot be loaded"):
        load_model(tmp_path / "model", "float32", "cpu")


def test_a_distribution_that_an_interrupted_pip_left_behind_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "~roken-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BadInput, match="'no-such-weights' is not installed"):
        package_files("no-such-weights")


EVIL = {
    "config.json": {"model_type": "evil", "auto_map": {"AutoConfig": "evil.E"}},
    "processor_config.json": {"processor_class": "EvilProcessor", "auto_map": {"AutoProcessor": "evil.E"}},
    "tokenizer_config.json": {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.E", "evil.E"]}},
}
OPEN = """
import sys
from pathlib import Path
from core.errors import BadInput
from core.lm.loading import load_model
for folder in sys.argv[1:]:
    try:
        load_model(Path(folder), "float32", "cpu")
    except BadInput as error:
        print(error)
"""


def test_code_of_a_repository_is_never_run_or_asked_about(
    tiny_gemma: Path, tiny_text_gemma: Path, tmp_path: Path
) -> None:
    """transformers asks on the terminal, and any `y` that waited there was an answer."""
    trace, folders = tmp_path / "ran", []
    for name, fields in EVIL.items():
        folder = tmp_path / name
        shutil.copytree(tiny_text_gemma if "tokenizer" in name else tiny_gemma, folder)
        own = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(own | fields))
        (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
        folders.append(str(folder))
    command = [sys.executable, "-c", OPEN, *folders]
    run = subprocess.run(command, input="y\n" * 9, capture_output=True, text=True, check=False)
    assert not trace.exists()
    told = run.stdout.splitlines()
    # A tokenizer that transformers can open by itself is opened without its repository's code.
    assert run.returncode == 0 and len(told) == 2 and all("auto_map" in line for line in told), run.stdout + run.stderr
