"""Registries of SAEs on disk: what is read back, and what is refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from core.concepts.registry import Registry, check_layers, parse_registry, read_registry, write_registry
from core.errors import BadInput

SHIPPED = Path(__file__).parents[3] / "deployments" / "sae-registries"


def entry(layer: int, **more: Any) -> dict[str, Any]:
    key = f"layer_{layer}/width_16k/average_l0_71"
    declared = {"key": key, "layer": layer, "width": 16384, "l0": 71, "format": "gemma_scope", "path": f"hub:a/b/{key}"}
    return {**declared, **more}


def registry(*entries: dict[str, Any], **more: Any) -> Registry:
    return parse_registry({"model": "gemma-2-2b", "entries": list(entries), **more}, "mine.yaml")


def test_what_is_written_is_read_back_and_own_folders_move_with_the_file(tmp_path: Path) -> None:
    own = entry(3, key="own", path=str(tmp_path / "here" / "saes" / "l3"), neuronpedia="gemma-2-2b/3-x", l0=None)
    elsewhere = entry(4, key="other", path="/elsewhere/l4", site="mlp_out")
    made = registry(entry(0), own, elsewhere, num_layers=26)
    (tmp_path / "here").mkdir()
    write_registry(made, tmp_path / "here" / "mine.yaml", "a test")
    assert read_registry(tmp_path / "here" / "mine.yaml") == made
    text = (tmp_path / "here" / "mine.yaml").read_text("utf-8")
    assert "path: saes/l3" in text and "# Made by `saeflow concept registry` from a test." in text
    (tmp_path / "here").rename(tmp_path / "moved")
    paths = [one.path for one in read_registry(tmp_path / "moved" / "mine.yaml").entries]
    assert paths == [made.entries[0].path, str(tmp_path / "moved" / "saes" / "l3"), "/elsewhere/l4"]


def test_layers_without_an_sae_are_those_of_the_model_or_below_the_highest() -> None:
    assert registry(entry(0), entry(3)).missing_layers() == (1, 2)
    assert registry(entry(0), entry(3)).missing_layers(6) == (1, 2, 4, 5)
    assert registry(entry(0), entry(3), num_layers=5).missing_layers() == (1, 2, 4)


def test_saes_that_differ_in_key_and_path_alone_are_kept_and_told() -> None:
    twin = entry(0, key="seed_1", path="hub:a/b/seed_1")
    assert [[one.key for one in group] for group in registry(entry(0), twin, entry(1)).alike()] == [
        ["layer_0/width_16k/average_l0_71", "seed_1"]
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(0), entry(1), entry(0)], r"mine.yaml: entries 0 and 2 have one key, 'layer_0/width_16k/average_l0_71'"),
        ([entry(0), entry(0, key="b")], r"entries 0 and 1 have one path, 'hub:a/b/layer_0.*'; keep one"),
        ([entry(0, l_0=3)], r"entry 0 \(layer_0.*\): l_0: unknown field; did you mean 'l0'\?"),
        ([entry(0, width="16k")], r"entry 0 \(layer_0.*\): width: '16k' is wrong: Input should be a valid integer"),
        ([entry(-1)], r"layer: -1 is wrong"),
        ([entry(0, l0=0)], r"l0: 0 is wrong"),
        ([entry(0, site="resid_pre")], r"site: 'resid_pre' is wrong"),
        (
            [entry(0, site="vision_post")],
            r"site: 'vision_post' is wrong: .*read of images; a registry is for sentences",
        ),
        ([entry(0, format="pickle")], r"format: 'pickle' is wrong"),
        ([{"layer": 0}], r"entry 0: key: missing; add it"),
        ([], r"mine.yaml: entries is empty; a registry has one SAE or more"),
        (["x"], r"entry 0: .*'x' is wrong"),
    ],
)
def test_a_wrong_entry_is_named_with_its_field(entries: list[Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        registry(*entries)


def test_many_wrong_entries_are_told_by_the_first_five() -> None:
    with pytest.raises(BadInput) as told:
        registry(*(entry(layer, width=0) for layer in range(20)))
    lines = str(told.value).splitlines()
    assert len(lines) == 6 and lines[-1] == "mine.yaml: 15 more fields are wrong"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- 1\n", "a registry is a mapping of model, num_layers and entries"),
        (b"model: [\n", r"bad.yaml, line 2: not valid YAML"),
        (b"\xff\xfe", r"bad.yaml: not valid YAML"),
        (yaml.safe_dump({"modle": "x", "entries": [entry(0)]}).encode(), r"modle: unknown field; did you mean 'model'"),
    ],
)
def test_a_file_that_is_no_registry(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_registry(tmp_path / "bad.yaml")


def test_a_file_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none.yaml: cannot be read"):
        read_registry(tmp_path / "none.yaml")
    with pytest.raises(BadInput, match=r"cannot be written .*name a file in a folder that exists"):
        write_registry(registry(entry(0)), tmp_path / "none" / "a.yaml", "a test")


def test_layers_beyond_the_model_are_named() -> None:
    check_layers(registry(entry(0), entry(25)), 26)
    with pytest.raises(BadInput, match=r"layer_25/.* \(and 1 more\): layer 25; the model has layers 0 to 17"):
        check_layers(registry(entry(0), entry(25), entry(26)), 18)


@pytest.mark.parametrize(
    ("name", "saes", "layers", "widths", "on_neuronpedia", "alike"),
    [
        ("gemma-2-2b-res-16k", 135, 26, {16384}, 38, 0),
        ("gemma-3-4b-it-res", 188, 34, {16384, 65536, 262144, 1048576}, 12, 12),
    ],
)
def test_the_shipped_registries(
    name: str, saes: int, layers: int, widths: set[int], on_neuronpedia: int, alike: int
) -> None:
    shipped = read_registry(SHIPPED / f"{name}.yaml")
    assert len(shipped.entries) == saes and shipped.layers == tuple(range(layers))
    assert shipped.num_layers == layers and shipped.missing_layers() == ()
    assert {one.width for one in shipped.entries} == widths
    assert sum(one.neuronpedia is not None for one in shipped.entries) == on_neuronpedia
    assert len(shipped.alike()) == alike
    assert all(one.l0 and one.path.startswith("hub:google/gemma-scope-") for one in shipped.entries)
