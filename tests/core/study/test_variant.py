"""A variant of a study is called after what sets it apart, and two variants never share a name or a folder."""

import re

import pytest

from core.analysis.registry import declared
from core.study.variant import _LEFT_OUT, DOT, differences, folder, is_called, title, variant_of, without_places

OWN = {
    "name": "demo",
    "description": "",
    "variant": "",
    "model": {"path": "/models/captioner", "instruction_en": "Describe it."},
    "capture": {"layers": [0, 1, 2, 3, 4, 5, 6], "batch_size": None},
    "sae": {"k": 8, "expansion": 4, "epochs": 3, "checkpoint_every": 500},
    "analyses": {"ablation": {"draws": 19, "images": 4}, "evolution": {"rows": 9}},
    "tracking": {"experiment": "saeflow"},
}


def changed(**sections: object) -> dict[str, object]:
    return OWN | {key: {**OWN[key], **value} if isinstance(value, dict) else value for key, value in sections.items()}  # type: ignore[dict-item]


def named(variant: str, **more: object) -> dict[str, object]:
    return {"name": "demo", "variant": variant, **more}


@pytest.mark.parametrize(
    ("study", "variant"),
    [
        (OWN, ""),
        (changed(sae={"k": 8}), ""),
        (changed(sae={"k": 32}), "sae.k=32"),
        (changed(sae={"k": 32, "epochs": 9}), "sae.k=32, sae.epochs=9"),
        (changed(sae={"k": [8, 16]}), "sae.k=[8,16]"),
        (changed(capture={"layers": [0, 1, 2, 3, 9]}), "capture.layers=0-3,9"),
        (changed(analyses={"evolution": None}), "analyses.evolution=null"),
        (OWN | {"analyses": {"ablation": OWN["analyses"]["ablation"]}}, "analyses.evolution=null"),
        (changed(analyses={"probes": {"k": [1, 2]}}), 'analyses.probes={"k":[1,2]}'),
        (changed(model={"path": "/elsewhere/gemma-3-4b-it"}), "model.path=gemma-3-4b-it"),
        (changed(tracking={"experiment": "mine"}, sae={"checkpoint_every": 7}, capture={"batch_size": 2}), ""),
    ],
)
def test_a_variant_is_what_changes_results_and_nothing_else(study: dict[str, object], variant: str) -> None:
    assert variant_of(OWN, study) == variant
    assert title(named(variant)) == ("demo" + DOT + variant if variant else "demo")


def test_what_a_study_leaves_out_is_one_setting_of_its_variant_either_way() -> None:
    def contrasted(**fields: object) -> dict[str, object]:
        return OWN | {"analyses": {"contrast": {"draws": 9, **fields}, "interactions": {"images": 4}}}

    steered = contrasted(interventions={"images": 4, "norm": 0.2})
    assert variant_of(contrasted(), steered) == 'analyses.contrast.interventions={"images":4,"norm":0.2}'
    assert variant_of(steered, contrasted()) == "analyses.contrast.interventions=null"
    less = contrasted(interventions={"images": 4, "norm": 0.1})
    assert variant_of(steered, less) == "analyses.contrast.interventions.norm=0.1"
    second = contrasted() | {
        "analyses": {**contrasted()["analyses"], "interactions": {"images": 4, "second_features": 2}}
    }  # type: ignore[dict-item]
    assert variant_of(contrasted(), second) == "analyses.interactions.second_features=2"
    assert variant_of(second, contrasted()) == "analyses.interactions.second_features=null"


def test_every_field_that_studies_leave_out_is_known() -> None:
    """A section's `exclude_if` hides a field from the record, and so from what sets a variant apart."""
    hidden = {
        f"analyses.{name}.{field}"
        for name, analysis in declared().items()
        for field, info in analysis.config.model_fields.items()
        if info.exclude_if is not None
    }
    assert hidden == {field for field in _LEFT_OUT if field.startswith("analyses.")}


def test_a_variant_of_a_variant_names_each_setting_once() -> None:
    own = changed(sae={"k": 32, "epochs": 9}, variant="sae.k=32, sae.epochs=9")
    again = changed(sae={"k": 16, "epochs": 9}, variant="sae.k=32, sae.epochs=9")
    assert variant_of(own, again) == "sae.k=16, sae.epochs=9"
    assert differences(own, again) == {"sae.k": 16}


def test_many_settings_are_counted_in_the_title_and_two_such_titles_differ() -> None:
    few = ", ".join(f"analyses.ablation.draws{number}={number}" for number in range(6))
    more = few.replace("draws5=5", "draws5=6")
    assert re.fullmatch(r"demo · analyses\.\S+=0, analyses\.\S+=1 and 4 more \(\w{4}\)", title(named(few)))
    assert title(named(few)) != title(named(more)) and folder(named(few)) != folder(named(more))
    assert len(title(named("model.instruction_en=" + "word " * 90))) < 80


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("", "demo"),
        ("sae.k=32", "demo+sae.k=32"),
        ("sae.k=32, capture.layers=0-3,9", "demo+sae.k=32+capture.layers=0-3,9"),
    ],
)
def test_a_folder_is_named_as_the_title_where_letters_allow(variant: str, name: str) -> None:
    assert folder(named(variant)) == name


def test_folders_are_safe_and_differ_where_letters_were_replaced() -> None:
    odd = ["sae.k=[8,16]", "sae.k={8,16}", "a=../../etc", "model.instruction_ar=صف", "a=1+b=2", "a=1, b=2", "x" * 300]
    folders = [folder(named(variant)) for variant in odd]
    assert len(set(folders)) == len(odd)
    assert all(re.fullmatch(r"demo\+[A-Za-z0-9._=,+-]+", name) and len(name) < 100 for name in folders)


def test_a_study_is_called_by_title_or_folder_with_or_without_spaces() -> None:
    study = named("sae.k=32, sae.epochs=9")
    for asked in ("demo · sae.k=32, sae.epochs=9", "demo·sae.k=32,sae.epochs=9", "demo+sae.k=32+sae.epochs=9"):
        assert is_called(asked, study)
    assert not is_called("demo", study) and is_called("demo", named(""))
    layer = named("sae.k=32", layer=17)
    assert (title(layer), folder(layer)) == ("demo · sae.k=32 · layer 17", "demo+sae.k=32+layer=17")
    assert is_called("demo+sae.k=32+layer=17", layer) and not is_called("demo·sae.k=32", layer)


def test_a_report_s_variant_names_no_place() -> None:
    assert without_places("sae.k=32, model.path=gemma, sae.pretrained=there, sae.epochs=9") == "sae.k=32, sae.epochs=9"
    assert without_places("data.path=mine.csv") == without_places("") == ""
