"""The prompt as sent depends on the study and on hashed files alone: not on the day, not on chance."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from jinja2 import Environment

from core.errors import BadInput
from core.lm.loading import load_model
from core.lm.prompts import CaptionRequest, encode_sample
from core.lm.templates import CLOCK, held_still, template_notes
from core.planning.loading import load_study
from core.planning.located import Reader, Sources
from core.planning.model_source import read_model
from core.store.hashes import HashMemo
from tests.core.lm.reference import noise_images

PROJECT = Path(__file__).parents[3]
CAPTIONER = PROJECT / "deployments" / "models" / "scene-captioner"
# Microseconds: no two prompts would be alike.
STAMP = "{{ bos_token }}{{ 'Today: ' + strftime_now('%d %b %Y %H:%M:%S.%f') + '\\n' }}"


@pytest.fixture
def dated(tmp_path: Path) -> Path:
    """The captioner with a template that writes the time."""
    folder = tmp_path / "dated_template"
    shutil.copytree(CAPTIONER, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("{{ bos_token }}", STAMP, 1))
    return folder


def content(folder: Path, tmp_path: Path) -> str:
    study = load_study(PROJECT / "deployments" / "studies" / "mini.yaml", [f"model.path={folder}"])
    reader = Reader(HashMemo(tmp_path / "memo.json"), lambda package, content: None)
    return read_model(study, Sources("", ""), reader).model


def test_a_template_that_writes_the_time_gives_the_same_prompt_for_ever(dated: Path, tmp_path: Path) -> None:
    loaded = load_model(dated, "float32", "cpu")
    request = CaptionRequest("s", "i", "en", "A man", "Describe the image in English.", noise_images(tmp_path, 1)[0])
    first, second = encode_sample(loaded, request), encode_sample(loaded, request)
    assert first == second
    assert first.text.startswith("<bos>Today: 26 Jul 2024 12:00:00.000000\n")
    assert loaded.notes == ("its chat template asks for the date, and is always given 26 July 2024, 12:00",)
    assert template_notes(CAPTIONER) == ()


def test_the_time_that_a_template_is_told_is_in_the_fingerprint(
    dated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captures that an older version made with the day's own date are not taken for these."""
    before, plain = content(dated, tmp_path), content(CAPTIONER, tmp_path)
    monkeypatch.setattr("core.planning.model_source.CLOCK", CLOCK + timedelta(days=1))
    assert content(dated, tmp_path) != before
    assert content(CAPTIONER, tmp_path) == plain


def test_a_text_models_template_is_told_the_same_time(tiny_text_gemma: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_text_gemma, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    template = "{{ strftime_now('%Y-%m-%d') }} {{ messages[0]['content'] }}:"
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    loaded = load_model(tmp_path / "model", "float32", "cpu")
    sample = encode_sample(loaded, CaptionRequest("s", "i", "en", "A man", "Describe"))
    assert sample.text == "<bos>2024-07-26 Describe:A man"
    assert len(loaded.notes) == 1


@pytest.mark.parametrize("drawn", ["{{ ['a', 'b'] | random }}", "{{ lipsum(1) }}", "{{ x | map('random') }}"])
def test_a_template_that_draws_at_random_is_refused(drawn: str) -> None:
    with pytest.raises(BadInput, match="draws at random"):
        held_still(drawn, Path("model"))
    with pytest.raises(BadInput, match="draws at random"):
        held_still({"default": drawn, "tool_use": ""}, Path("model"))
    assert held_still({"default": "random words", "tool_use": drawn}, Path("model")) is None


@pytest.mark.parametrize(
    "form", ["%d %b %Y", "%-d. %B %Y, %H:%M:%S.%f", "%A %I %p", "100%% of %F %T", "%Y%m%d", "%j %U"]
)
def test_the_time_is_written_as_strftime_writes_it(form: str) -> None:
    """A macro of Jinja's in place of transformers' function: also for a form that a template keeps in a variable."""
    template = held_still(
        "{% set form = messages[0] %}{{ strftime_now(form) }}|{{ strftime_now is defined }}", Path("m")
    )
    assert template is not None
    assert Environment(autoescape=False).from_string(template).render(messages=[form]) == f"{CLOCK.strftime(form)}|True"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chat_template.jinja", "{{ messages }}"),
        ("chat_template.json", '{"chat_template": "{{ messages }}"}'),
        ("additional_chat_templates/default.jinja", "{{ messages }}"),
        ("processor_config.json", "{}"),
        ("preprocessor_config.json", "{}"),
        ("generation_config.json", "{}"),
        ("qwen.tiktoken", "x"),
        ("source.spm", "x"),
    ],
)
def test_every_file_that_decides_the_prompt_is_in_the_fingerprint(name: str, text: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(CAPTIONER, folder)
    before = content(folder, tmp_path)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    assert content(folder, tmp_path) != before


def test_what_is_only_said_about_the_model_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(CAPTIONER, folder)
    before = content(folder, tmp_path)
    (folder / "README.md").write_text("other words")
    assert content(folder, tmp_path) == before == content(CAPTIONER, tmp_path)
