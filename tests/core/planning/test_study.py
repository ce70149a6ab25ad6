from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.planning.loading import find_study, load_study
from core.planning.study import Study
from core.study.layers import parse_layers, resolve_layers
from core.study.variant import settings

STUDIES = Path(__file__).parents[3] / "deployments" / "studies"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_study_is_valid_and_survives_json(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem
    assert Study.model_validate(study.model_dump(mode="json")) == study


def test_production_study_has_the_numbers_it_is_known_by() -> None:
    study = load_study(STUDIES / "gemma3-4b-it.yaml")
    assert study.capture.layers == tuple(range(34))
    assert (study.data.num_samples, study.sae.expansion, study.sae.k, study.sae.epochs) == (2000, 8, 64, 50)


@pytest.mark.parametrize(("name", "adds"), [("demo", {"sae.frozen"}), ("gemma3-270m", set())])
def test_a_study_with_every_analysis_shares_what_it_is_named_after(name: str, adds: set[str]) -> None:
    """Samples, activations, SAEs and the analyses of the smaller study are those of the full one."""
    small, full = (
        settings(load_study(STUDIES / f"{stem}.yaml").model_dump(mode="json")) for stem in (name, f"{name}-full")
    )
    rows = ("data.", "model.", "capture.", "sae.", "index.", "seed")
    assert {key for key in {*small, *full} if key.startswith(rows) and small.get(key) != full.get(key)} == adds
    asked = set(load_study(STUDIES / f"{name}-full.yaml").analyses.model_fields_set)
    assert {"probes", "contrast", "spectra", "interactions"} <= asked


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sae.kk=3", "sae.kk: unknown key; did you mean 'k'?"),
        ("nme=x", "nme: unknown key; did you mean 'name'?"),
        ("analyses.ablation.imagse=3", "analyses.ablation.imagse: unknown key; did you mean 'images'?"),
        ("data.num_sampels=9", "data.num_sampels: unknown key; did you mean 'num_samples'?"),
        ("sae.k=0", "sae.k: 0 is wrong: Input should be greater than or equal to 1"),
        ("capture.max_norm_multiple=1", "capture.max_norm_multiple: 1 is wrong: Input should be greater than 1"),
        ("capture.layers=9-3", "the range '9-3' runs backwards; write 3-9"),
        ("capture.layers=foo", "'foo' is no layer range"),
        ("sae.k", "write section.key=value"),
    ],
)
def test_wrong_field_is_named_with_its_mend(override: str, words: str) -> None:
    with pytest.raises(BadInput) as raised:
        load_study(STUDIES / "demo.yaml", [override])
    assert words in str(raised.value)


def test_override_changes_one_field() -> None:
    study = load_study(STUDIES / "demo.yaml", ["sae.k=5", "capture.layers=0-2,7"])
    assert study.sae.k == 5
    assert study.capture.layers == (0, 1, 2, 7)


def test_broken_yaml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: x\ndata: [1, 2\nmodel: {")
    with pytest.raises(BadInput, match=r"broken\.yaml, line \d+: not valid YAML"):
        load_study(path)


def test_unknown_study_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean demo"):
        find_study("demmo", [STUDIES])


@given(st.lists(st.integers(0, 60), min_size=1))
def test_a_list_and_its_ranges_mean_the_same_layers(layers: list[int]) -> None:
    assert parse_layers(layers) == parse_layers(",".join(map(str, layers))) == tuple(sorted(set(layers)))


def test_layer_beyond_the_model_is_named() -> None:
    with pytest.raises(ValueError, match="layer 34 is out of range; the model has layers 0-33"):
        resolve_layers((3, 34), 34, "capture.layers")
    assert resolve_layers("all", 3, "capture.layers") == (0, 1, 2)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[8]", r"sae\.k: \[8\] is wrong: a list holds two different values or more"),
        ("[8, 8]", r"sae\.k: \[8, 8\] is wrong: a list holds two different values or more"),
        ("[8, 0]", r"sae\.k\.1: "),
        ("many", r"sae\.k: "),
    ],
)
def test_a_wrong_list_of_settings_is_explained_once(value: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as raised:
        load_study(STUDIES / "demo.yaml", [f"sae.k={value}"])
    assert str(raised.value).count("sae.k") == 1


def test_overrides_make_a_variant_unless_they_are_the_study_s_own_values() -> None:
    demo = load_study(STUDIES / "demo.yaml")
    own = load_study(STUDIES / "demo.yaml", [f"sae.k={demo.sae.k}", "tracking.experiment=other"])
    assert demo.title == own.title == demo.folder == "demo"
    variant = load_study(STUDIES / "demo.yaml", ["analyses.ablation.draws=77", "sae={expansion: 3, k: 5}"])
    assert variant.variant.startswith("sae.") and "sae.k=5" in variant.variant
    assert "analyses.ablation.draws=77" in variant.variant and "images" not in variant.variant
    assert load_study(STUDIES / "demo.yaml", ["variant=dense", "sae.k=5"]).title == "demo · dense"
    assert load_study(STUDIES / "demo.yaml", ["name=mine", "sae.k=5"]).title == "mine"


def test_a_file_that_overrides_complete_is_a_study_and_its_variant(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("name: part\ndata: {source: emoji}\n")
    assert load_study(tmp_path / "part.yaml", ["model.path=/m/gemma"]).title == "part · model.path=gemma"


def test_other_yaml_files_are_not_offered_as_studies(tmp_path: Path) -> None:
    (tmp_path / "prefect.yaml").write_text("name: saeflow\ndeployments: []\n")
    (tmp_path / "broken.yaml").write_text("data: [")
    (tmp_path / "mine.yml").write_text("name: mine\ndata: {}\nmodel: {}\n")
    with pytest.raises(BadInput, match=r"studies here: cats, mine$"):
        find_study("xyzxyz", [tmp_path], ["cats"])
    with pytest.raises(BadInput, match=r"studies here: cats, mine$"):
        find_study("prefec", [tmp_path], ["cats"])
