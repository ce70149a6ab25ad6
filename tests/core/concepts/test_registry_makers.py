"""Registries made from SAELens' list, a list of older scans, and folders of SAEs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from core.concepts.configurations import configured_entries
from core.concepts.registry import read_registry
from core.concepts.registry_entries import Wanted, short_width, spelt_width, stated_l0
from core.concepts.sae_folders import folder_entries
from core.concepts.saelens_listing import saelens_entries
from core.errors import BadInput
from tests.core.concepts.lying_saes import F, gemma_scope, gemma_scope_2, sae_lens, sparsify

LISTING = Path(__file__).with_name("pretrained_saes_excerpt.yaml")
SHIPPED = Path(__file__).parents[3] / "deployments" / "sae-registries"


@pytest.mark.parametrize(
    ("wanted", "shipped", "keys"),
    [
        (
            Wanted("google/gemma-2-2b", "resid_post", 16384),
            "gemma-2-2b-res-16k",
            ["layer_0/width_16k/average_l0_13", "layer_0/width_16k/average_l0_105", "layer_12/width_16k/average_l0_41"],
        ),
        (
            Wanted("gemma-3-4b-it"),
            "gemma-3-4b-it-res",
            [
                "resid_post_all/layer_0_width_16k_l0_big",
                "resid_post/layer_17_width_262k_l0_medium",
                "resid_post/layer_17_width_262k_l0_medium_seed_1",
            ],
        ),
    ],
)
def test_entries_made_from_saelens_list_are_those_shipped(wanted: Wanted, shipped: str, keys: list[str]) -> None:
    made = saelens_entries(LISTING, wanted).registry("the list", None)
    assert [one.key for one in made.entries] == keys
    kept = read_registry(SHIPPED / f"{shipped}.yaml")
    assert set(made.entries) <= set(kept.entries) and made.model == kept.model


@pytest.mark.parametrize("reverse", [False, True])
def test_one_folder_in_two_releases_is_one_entry_with_what_either_says(tmp_path: Path, reverse: bool) -> None:
    releases = list(yaml.safe_load(LISTING.read_text("utf-8")).items())
    listing = tmp_path / "listing.yaml"
    listing.write_text(yaml.safe_dump(dict(releases[::-1] if reverse else releases), sort_keys=False))
    found = saelens_entries(listing, Wanted("gemma-2-2b", "resid_post", 16384)).registry("the list", None)
    entry = next(one for one in found.entries if one.key == "layer_0/width_16k/average_l0_105")
    assert (entry.l0, entry.neuronpedia) == (105, "gemma-2-2b/0-gemmascope-res-16k")
    alone = saelens_entries(LISTING, Wanted("gemma-2-2b"), release="*-canonical").entries
    assert [(one.key, one.l0) for one in alone] == [("layer_0/width_16k/average_l0_105", 105)]


def test_sites_are_those_of_the_model_and_keys_of_several_repositories_name_theirs() -> None:
    mlp = saelens_entries(LISTING, Wanted("gemma-2-2b", "mlp_out_normed"))
    assert [(one.key, one.site) for one in mlp.entries] == [("layer_0/width_16k/average_l0_119", "mlp_out_normed")]
    gpt2 = saelens_entries(LISTING, Wanted("gpt2", "attn_out"))  # no norm there: one tensor by two names
    assert [(one.layer, one.width, one.format) for one in gpt2.entries] == [(0, 32768, "sae_lens")]
    both = saelens_entries(LISTING, Wanted("gemma-2-2b"))
    assert {one.key.rpartition("/layer_")[0] for one in both.entries if one.format == "gemma_scope"} == {
        "google/gemma-scope-2b-pt-res"
    }


def test_what_cannot_be_used_is_counted_by_its_reason() -> None:
    gemma, gpt2 = (saelens_entries(LISTING, Wanted(model)).left_out for model in ("gemma-2-2b", "gpt2-small"))
    assert gemma["in the layout dictionary_learning_1, which is not read here"] == 1
    assert sum(count for reason, count in gemma.items() if "none of the sites" in reason) == 1
    assert len(gpt2) == 3 and sum(gpt2.values()) == 3
    for part in ("model_from_pretrained_kwargs", "one file, not a folder", "its width stands in no name"):
        assert any(part in reason for reason in gpt2), part
    with pytest.raises(BadInput, match=r"the list: no such SAE \(1 of another site or width; left out \(1\): "):
        saelens_entries(LISTING, Wanted("gpt2-small")).registry("the list", None)


@pytest.mark.parametrize(
    ("wanted", "release", "message"),
    [
        (Wanted(None), "*", r"name the model \(--model\), one of gemma-2-2b, google/gemma-3-4b-it, gpt2-small"),
        (Wanted("llama"), "*", r"no SAEs of llama; it has those of gemma-2-2b"),
        (Wanted("gemma-2-2b"), "none*", r"no release 'none\*' of gemma-2-2b; it has gemma-scope-2b-pt-res,"),
    ],
)
def test_a_model_or_release_that_is_not_listed(wanted: Wanted, release: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        saelens_entries(LISTING, wanted, release)


@pytest.mark.parametrize("text", ["SAE_LOOKUP: {x: 1}", "[]", "r: {repo_id: a/b, model: m, saes: [{id: x}]}"])
def test_a_file_that_is_not_saelens_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"a\.yaml: not SAELens' pretrained_saes\.yaml"):
        saelens_entries(tmp_path / "a.yaml", Wanted("x"))


@pytest.mark.parametrize(
    ("text", "width"),
    [("16k", 16384), ("65k", 65536), ("64k", 65536), ("131K", 131072), ("262k", 262144), ("1m", 1 << 20)]
    + [("16384", 16384), ("4608", 4608), ("80k", None), ("0", None), ("wide", None), ("", None)],
)
def test_widths_as_releases_spell_them(text: str, width: int | None) -> None:
    assert spelt_width(text) == width
    assert width is None or spelt_width(short_width(width)) == width


def test_l0_in_names() -> None:
    assert stated_l0("layer_0/width_16k/average_l0_105") == 105
    assert stated_l0("layer_9_width_16k_l0_small", "saes-w-32k-l0-40") == 40
    assert stated_l0("layer_10", "hel0_7") is None


def configured(tmp_path: Path, content: Any, wanted: Wanted, repository: str | None = None) -> list[Any]:
    path = tmp_path / "configurations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    found = configured_entries(path, wanted, *([repository] if repository else []))
    return list(found.registry("list", None).entries)


def test_an_older_scans_list_gives_the_entries_that_saelens_list_gives(tmp_path: Path) -> None:
    told = [
        {"layer": 0, "average_l0": 105, "path": "layer_0/width_16k/average_l0_105/params.npz"},
        {"layer": 12, "l0": 41},
    ]
    made = configured(tmp_path, told, Wanted(width=16384))
    assert [(one.key, one.layer, one.l0) for one in made] == [
        ("layer_0/width_16k/average_l0_105", 0, 105),
        ("layer_12/width_16k/average_l0_41", 12, 41),
    ]
    listed = {one.key: one for one in read_registry(SHIPPED / "gemma-2-2b-res-16k.yaml").entries}
    assert [one.model_copy(update={"neuronpedia": listed[one.key].neuronpedia}) for one in made] == [
        listed[one.key] for one in made
    ]


def test_an_older_list_of_another_repository_or_of_a_folder(tmp_path: Path) -> None:
    told = [{"layer": 3, "average_l0": 5, "width": "4k", "path": "l3"}]
    away = configured(tmp_path, told, Wanted("m", "attn_z"), "acme/saes")
    assert [(one.path, one.site, one.width) for one in away] == [("hub:acme/saes/l3", "attn_z", 4096)]
    mlp = configured(tmp_path, told, Wanted(site="mlp_out_normed"), "google/gemma-scope-9b-pt-mlp")
    assert mlp[0].site == "mlp_out_normed"
    (tmp_path / "saes").mkdir()
    here = configured(tmp_path, told, Wanted("m"), str(tmp_path / "saes"))
    assert here[0].path == str(tmp_path / "saes" / "l3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ([], "not a list of SAEs such as"),
        ({"layer": 0}, "not a list of SAEs such as"),
        ([{"l0": 4}], "object 0: not an object that has a layer"),
        ([{"layer": 0, "average_l0": 4}], "object 0: neither path, nor L0 and width"),
        ([{"layer": 0, "path": "layer_0"}], "object 0: nothing says its width"),
        ([{"layer": "a", "path": "width_16k"}], "object 0: layer: 'a' is wrong"),
        ([{"layer": 0, "path": "../x", "width": 4}], "leads out of the repository"),
        ([{"layer": 0, "path": "x", "width": 4, "seed": 1}], "unknown field 'seed'; known: average_l0,"),
        ([{"layer": 0, "path": "x", "width": 4}] * 2, "entries 0 and 1 have one key, 'x'"),
    ],
)
def test_a_list_that_is_wrong(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        configured(tmp_path, content, Wanted())


def test_a_repository_whose_model_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"acme/saes: its name does not say the model .*\(--model\)"):
        configured(tmp_path, [{"layer": 0, "path": "x", "width": 4}], Wanted(), "acme/saes")


def test_every_layout_below_a_folder_is_found(tmp_path: Path) -> None:
    scope = tmp_path / "gemma-scope-2b-pt-res" / "layer_3" / "width_16k" / "average_l0_59"
    gemma_scope(scope)
    gemma_scope_2(tmp_path / "resid_post" / "layer_17_width_16k_l0_small", "model.layers.17.output", 20)
    lens = sae_lens(tmp_path / "lens" / "nine", 9)
    save_file({"sparsity": torch.log10(torch.tensor([0.5, 1, 0.25, 1e-10, 1, 1e-10]))}, lens / "sparsity.safetensors")
    sparsify(tmp_path / "run" / "layers.5.mlp")
    made = [folder_entries(tmp_path, Wanted(model)) for model in ("gemma-2-2b", "gemma-3-4b-it", "acme/lm")]
    (one,), (two,), (three,) = (found.entries for found in made)
    assert (one.key, one.layer, one.l0, one.format) == (scope.relative_to(tmp_path).as_posix(), 3, 59, "gemma_scope")
    assert (two.layer, two.l0, two.format, two.width, two.path) == (
        17,
        20,
        "gemma_scope_2",
        F,
        str(tmp_path / "resid_post" / "layer_17_width_16k_l0_small"),
    )
    assert (three.layer, three.l0, three.format, three.neuronpedia) == (9, 2.75, "sae_lens", "lm/9-x")
    assert made[2].others == 1  # layers.5.mlp
    (mlp,) = folder_entries(tmp_path / "run", Wanted(site="mlp_out")).entries
    assert (mlp.key, mlp.layer, mlp.site, mlp.l0, mlp.format) == ("layers.5.mlp", 5, "mlp_out", 3, "sparsify")


def test_below_a_folder_what_cannot_be_used_is_left_out_and_told(tmp_path: Path) -> None:
    sae_lens(tmp_path / "a", 1), sae_lens(tmp_path / "b", 2, clamp=True), sae_lens(tmp_path / "c", 3, "acme/other")
    gemma_scope(tmp_path / "unnamed")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "params.npz").write_bytes(b"PK\x03\x04 half")
    found = folder_entries(tmp_path, Wanted("lm"))
    assert [one.key for one in found.entries] == ["a"]
    for part in ("key 'clamp' is not known", "trained on acme/other", "unnamed: its files state no", "cannot be read"):
        assert any(part in reason for reason in found.left_out), part
    with pytest.raises(BadInput, match=r"SAEs of several models \(acme/lm, acme/other\); name one \(--model\)"):
        folder_entries(tmp_path, Wanted())
    with pytest.raises(BadInput, match="none: no such folder"):
        folder_entries(tmp_path / "none", Wanted())


def test_a_folder_that_is_itself_an_sae(tmp_path: Path) -> None:
    sae_lens(tmp_path / "mine", 1)
    (found,) = folder_entries(tmp_path / "mine", Wanted()).entries
    assert (found.key, found.path) == ("mine", str(tmp_path / "mine"))
