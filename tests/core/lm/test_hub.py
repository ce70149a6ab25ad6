"""The hub's local cache as `hf download --include` leaves it: a part of a snapshot is found for what it holds."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from core.errors import BadInput
from core.lm.hub import hub_name, is_hub_name, snapshots, split_place
from core.planning.loading import load_study
from core.planning.model_source import pin_model

STUDIES = Path(__file__).parents[3] / "deployments" / "studies"
MAIN, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def snapshot(cache: Path, name: str, revision: str, *files: str, ref: str | None = None) -> Path:
    repository = cache / f"models--{name.replace('/', '--')}"
    folder = repository / "snapshots" / revision
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}")
    if ref is not None:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(revision)
    return folder


def model(cache: Path, *missing: str, revision: str = MAIN, ref: str | None = "main") -> Path:
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    files = [*shards, "model.safetensors.index.json", "config.json", "tokenizer.json", "preprocessor_config.json"]
    folder = snapshot(cache, "acme/vlm", revision, *(file for file in files if file not in missing), ref=ref)
    if "model.safetensors.index.json" not in missing:
        index = {"weight_map": dict(enumerate(shards))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    if "config.json" not in missing:
        (folder / "config.json").write_text(json.dumps({"vision_config": {}, "text_config": {}}))
    return folder


def located(name: str) -> Path:
    return Path(str(pin_model(load_study(STUDIES / "mini.yaml", [f"model.path={name}"]), [STUDIES]).model.path))


def test_main_comes_first_then_the_latest_and_a_revision_stands_alone(cache: Path) -> None:
    assert snapshots("acme/vlm") == []
    main = snapshot(cache, "acme/vlm", MAIN, "x", ref="main")
    other = snapshot(cache, "acme/vlm", OTHER, "x", ref="v2")
    assert snapshots("acme/vlm") == [main, other]
    assert snapshots("acme/vlm@v2") == snapshots("acme/vlm@bbbb") == [other]
    assert snapshots("acme/vlm@v3") == []
    assert hub_name(other / "layer_3") == "acme/vlm" and hub_name(STUDIES) is None


def test_names_and_places() -> None:
    assert split_place("acme/scope@v2/resid/layer_9") == ("acme/scope@v2", "resid/layer_9")
    assert split_place("acme/scope") == ("acme/scope", "")
    assert not any(map(is_hub_name, ("a/b/c", "./a", "/a/b", "a b/c")))
    with pytest.raises(BadInput, match="hub:scope: write hub:OWNER/REPO/PATH"):
        split_place("scope")


def test_a_model_of_which_a_part_was_fetched_is_found_while_it_has_what_it_needs(cache: Path) -> None:
    assert model(cache) == located("acme/vlm")  # no README, no generation_config.json, no .gitattributes


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (("model-00002-of-00002.safetensors",), "model-00002-of-00002.safetensors"),
        (("model.safetensors.index.json",), "model.safetensors.index.json"),
        (("config.json",), "config.json"),
        (("tokenizer.json", "preprocessor_config.json"), "tokenizer.json, preprocessor_config.json"),
    ],
)
def test_what_a_model_lacks_is_named_with_the_command_that_fetches_it(
    cache: Path, missing: tuple[str, ...], told: str
) -> None:
    model(cache, *missing)
    with pytest.raises(BadInput, match=rf"model\.path: acme/vlm: its snapshot .* lacks {told}; `hf download acme/vlm`"):
        located("acme/vlm")
    whole = model(cache, revision=OTHER, ref=None)  # another snapshot that has it all is taken instead
    assert located("acme/vlm") == whole


def test_a_link_into_the_cache_that_leads_nowhere_is_a_missing_file(cache: Path) -> None:
    folder = model(cache)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(cache / "blobs" / "gone")
    with pytest.raises(BadInput, match=r"lacks tokenizer\.json"):
        located("acme/vlm")


def test_a_model_that_was_never_fetched(cache: Path) -> None:
    with pytest.raises(BadInput, match="as a hub name it is not in the local cache either: `hf download acme/none`"):
        located("acme/none@v2")
