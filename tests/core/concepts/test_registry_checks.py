"""A registry against the files it names: mismatches by name, what is skipped, and L0 as measured."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from core.concepts.registry import Registry, SAEEntry, parse_registry
from core.concepts.registry_checks import Reader, check_registry, checked, fingerprint, l0_warning
from core.errors import BadInput
from core.lm.shape import ModelShape
from core.store.hashes import HashMemo
from tests.core.concepts.lying_saes import D, F, gemma_scope, gemma_scope_2, sae_lens, sparsify

READER = Reader(["acme/lm"], ModelShape(4, D, False, 0, 100, "acme"))


def entry(path: object, layer: int = 1, **more: Any) -> dict[str, Any]:
    return {"key": f"k{layer}", "layer": layer, "width": F, "format": "sae_lens", "path": str(path), **more}


def registry(*entries: dict[str, Any], model: str = "acme/lm") -> Registry:
    return parse_registry({"model": model, "entries": list(entries)}, "mine.yaml")


def test_entries_that_are_as_declared_are_found_in_every_layout(tmp_path: Path) -> None:
    sparse = sparsify(tmp_path / "run" / "layers.2")
    scope = gemma_scope(tmp_path / "gemma-scope-2b-pt-res" / "layer_3" / "w")
    newer = gemma_scope_2(tmp_path / "newer", "model.layers.0.post_feedforward_layernorm.output")
    found = check_registry(
        registry(
            entry(sae_lens(tmp_path / "a", 1)),
            entry(sparse, 2, format="sparsify"),
            entry(scope, 3, format="gemma_scope"),
            entry(newer, 0, format="gemma_scope_2", site="mlp_out_normed"),
        ),
        READER,
        strict=True,
    )
    assert [one.folder for one in found.usable] == [tmp_path / "a", sparse, scope, newer]
    assert found.model_warnings("acme/lm") == [
        "SAEs trained on google/gemma-2-2b are used on acme/lm: 1",
        "SAEs trained on google/gemma-3-4b-it are used on acme/lm: 1",
    ]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"width": 16384}, f"k1: width 16384 is declared, and its files say {F}"),
        ({"format": "sparsify"}, "k1: format sparsify is declared, and its files say sae_lens"),
        ({"layer": 2, "key": "k1"}, "k1: layer 2 is declared, and its files say 1"),
        ({"site": "attn_z"}, "k1: site attn_z is declared, and its files say resid_post"),
        ({"path": "/none/there"}, "k1: /none/there does not exist"),
    ],
)
def test_what_is_declared_otherwise_than_the_files_say_is_named(
    tmp_path: Path, declared: dict[str, Any], message: str
) -> None:
    made = registry(entry(sae_lens(tmp_path / "a", 1)) | declared).entries[0]
    with pytest.raises(BadInput, match=f"^{message}$"):
        checked(made, ["acme/lm"], D)


def test_rows_of_another_width_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    made = registry(entry(sae_lens(tmp_path / "a", 1)), entry(sae_lens(tmp_path / "b", 2, clamp=True), 2)).entries
    with pytest.raises(BadInput, match=rf"^k1: .*reads rows of width {D}; the layer's have 9"):
        checked(made[0], ["acme/lm"], 9)
    with pytest.raises(BadInput, match=r"^k2: .*key 'clamp' is not known"):
        checked(made[1], ["acme/lm"], D)


def test_what_cannot_be_used_is_skipped_with_its_reason_or_is_an_error_with_strict(tmp_path: Path) -> None:
    made = registry(entry(sae_lens(tmp_path / "a", 1)), entry("/none/2", 2), entry("/none/3", 3))
    found = check_registry(made, READER)
    assert [one.entry.key for one in found.usable] == ["k1"]
    assert [one.reason for one in found.skipped] == ["k2: /none/2 does not exist", "k3: /none/3 does not exist"]
    with pytest.raises(BadInput, match=r"^k2: /none/2 does not exist \(and 1 more\)$"):
        check_registry(made, READER, strict=True)
    with pytest.raises(BadInput, match=r"^no SAE of the registry can be used: k2: /none/2 does not exist$"):
        check_registry(registry(entry("/none/2", 2)), READER)
    with pytest.raises(BadInput, match="k4: layer 4; the model has layers 0 to 3"):
        check_registry(registry(entry("/none/4", 4)), READER)
    assert len(check_registry(made, None).usable) == 1


def test_places_on_the_hub_are_looked_up_in_its_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--google--gemma-scope-2b-pt-res" / "snapshots" / "abc"
    gemma_scope(snapshot / "layer_1" / "width_16k" / "average_l0_102")
    place = "hub:google/gemma-scope-2b-pt-res/layer_{}/width_16k/average_l0_102"
    declared = [entry(place.format(layer), layer, format="gemma_scope") for layer in (1, 2)]
    found = check_registry(registry(*declared, model="gemma-2-2b"), Reader(["gemma-2-2b"], READER.shape))
    assert [one.folder for one in found.usable] == [snapshot / "layer_1" / "width_16k" / "average_l0_102"]
    assert found.model_warnings("gemma-2-2b") == []
    (missing,) = found.skipped
    assert "`hf download google/gemma-scope-2b-pt-res --include 'layer_2/width_16k/average_l0_102/*'`" in missing.reason
    moved = entry(place.format(1), 2, format="gemma_scope")
    with pytest.raises(BadInput, match="k2: layer 2 is declared, and its files say 1"):
        checked(registry(moved).entries[0], ["gemma-2-2b"], None)


def test_the_fingerprint_is_of_weights_and_configuration_alone(tmp_path: Path) -> None:
    memo = HashMemo(tmp_path / "hashes.json")
    one, other = sae_lens(tmp_path / "a", 1), sae_lens(tmp_path / "b", 1)
    (other / "manifest.json").write_text("{}")
    assert fingerprint(one, memo) == fingerprint(other, memo)
    assert fingerprint(one, memo) != fingerprint(sae_lens(tmp_path / "c", 2), memo)
    (other / "sae_weights.safetensors").write_bytes(b"other")
    assert fingerprint(one, memo) != fingerprint(other, memo)


@pytest.mark.parametrize(("measured", "warned"), [(100, False), (80, False), (120, False), (79, True), (121, True)])
def test_a_measured_l0_beyond_a_fifth_of_the_declared_one_is_warned_of(measured: float, warned: bool) -> None:
    declared = SAEEntry(key="k", layer=0, width=F, l0=100, format="sparsify", path="/a")
    told = l0_warning(declared, measured)
    assert (told is not None) is warned
    assert told is None or told.startswith(f"k: L0 is {measured} on these rows and 100 as declared")
    assert l0_warning(declared.model_copy(update={"l0": None}), measured) is None
