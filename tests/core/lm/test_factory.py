"""Models that transformers does not know, made by a function of one's own."""

from pathlib import Path

import pytest
import torch

from core.errors import BadInput
from core.lm.factory import factory_content, factory_shape, open_factory

HERE = "tests.core.lm.set_models"


def test_a_factorys_model_is_ready_for_reading() -> None:
    model = open_factory(f"{HERE}:load")
    assert not model.module.training
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    shape = factory_shape(f"{HERE}:load", "resid_post")
    assert (shape.num_layers, shape.d_model, shape.has_images, shape.model_type) == (3, 12, False, f"{HERE}:load")


def test_its_content_is_its_name_its_file_and_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (open_factory(f"{HERE}:load") for _ in range(2))
    content = factory_content(f"{HERE}:load", one)
    assert content == factory_content(f"{HERE}:load", two)
    assert content != factory_content(f"{HERE}:load_unseeded", one)
    two.module.get_parameter("layers.1.own.bias").data[3] += 1e-6
    assert content != factory_content(f"{HERE}:load", two)
    monkeypatch.syspath_prepend(tmp_path)
    contents = []
    for name, line in (("made_a", "# as it was"), ("made_b", "# as it is now")):
        (tmp_path / f"{name}.py").write_text(f"from {HERE} import load\n{line}\n")
        contents.append(factory_content(f"{name}:load", one))
    assert contents[0] != contents[1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no colon", "'no colon' names no function; write package.module:function"),
        ("no.such.module:load", "no module named 'no'; install its package where the study runs"),
        (f"{HERE}:no_such", "the module has no function 'no_such'"),
        (f"{HERE}:NOT_A_FUNCTION", "the module has no function 'NOT_A_FUNCTION'"),
        (f"{HERE}:load_nothing", "returned a dict, not a core.lm.factory.FactoryModel"),
        (f"{HERE}:load_broken", "failed (OSError: weights.safetensors: no such file)"),
        (f"{HERE}:load_outside", "site resid_post names a module that is not within `module`"),
    ],
)
def test_what_is_no_factory_is_told_in_one_line(name: str, words: str) -> None:
    with pytest.raises(BadInput) as raised:
        open_factory(name)
    assert str(raised.value).startswith("model.factory: ") and words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_module_that_breaks_as_it_is_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breaks_on_import.py").write_text("raise RuntimeError('no weights here')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        BadInput, match=r"model\.factory: breaks_on_import:load: its module cannot be imported \(no wei"
    ):
        open_factory("breaks_on_import:load")


def test_a_site_that_is_not_named_is_told() -> None:
    told = r"model\.factory: the model names no site mlp_out \(it has resid_post\)"
    with pytest.raises(BadInput, match=told):
        factory_shape(f"{HERE}:load", "mlp_out")


def test_a_module_without_parameters_is_on_the_cpu() -> None:
    model = open_factory(f"{HERE}:load")
    assert model.device == torch.device("cpu")
