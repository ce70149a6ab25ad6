"""Sites of images: what transformers' own vision tower and projector give, whatever runs together."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from core.errors import BadInput
from core.lm.hooks import Reading
from core.lm.images import read_ahead, read_pictures
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.sites import vision_points
from core.lm.vision import encode_images, image_rows
from tests.core.lm.families import save_tiny_llava
from tests.core.lm.reference import noise_images, relative_error
from tests.core.lm.tiny import save_tiny_gemma

KINDS = ("gemma3", "llava")


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """SigLIP without a class token and pooled soft tokens, or CLIP with one and a tower read before its last block."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "llava":
        return load_model(save_tiny_llava(folder), "float32", "cpu")
    return load_model(save_tiny_gemma(folder, vision_layers=3, image_tokens=4), "float32", "cpu")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return noise_images(tmp_path, 3)


@torch.inference_mode()
def transformers_own(loaded: LoadedModel, image: Path) -> tuple[list[Tensor], Tensor]:
    """The tower's hidden states after each block, and the image's soft tokens, of one image run to the end."""
    assert loaded.processor is not None
    made = loaded.processor.image_processor([Image.open(image).convert("RGB")], return_tensors="pt")
    tower = loaded.base.vision_tower(made["pixel_values"], output_hidden_states=True)  # type: ignore[operator]
    features = loaded.model.get_image_features(made["pixel_values"])  # type: ignore[operator]
    return [state[0] for state in tower.hidden_states[1:]], features.pooler_output[0]


def test_every_block_of_the_tower_is_transformers_own(loaded: LoadedModel, images: list[Path]) -> None:
    layers = range(loaded.shape.vision_layers)
    together = encode_images(loaded, images, Reading(layers, "vision_post"))
    for number, image in enumerate(images):
        alone = encode_images(loaded, [image], Reading(layers, "vision_post"))
        blocks, _ = transformers_own(loaded, image)
        assert len(blocks) == len(layers)
        for layer, expected in enumerate(blocks):
            assert expected.shape == (len(image_rows(loaded, image, "vision_post").names), loaded.width("vision_post"))
            assert relative_error(together[layer][number], expected) < 1e-5
            assert relative_error(alone[layer][0], expected) < 1e-5


def test_the_projector_gives_the_image_features_of_transformers(loaded: LoadedModel, images: list[Path]) -> None:
    together = encode_images(loaded, images, Reading([0], "projector"))[0]
    for number, image in enumerate(images):
        _, expected = transformers_own(loaded, image)
        assert expected.shape == (loaded.shape.image_tokens, loaded.width("projector"))
        assert relative_error(together[number], expected) < 1e-5
    assert relative_error(together[0], together[1]) > 0.01, "a test that tells images apart"


@pytest.fixture
def ran(loaded: LoadedModel) -> Iterator[list[str]]:
    """The modules that were run."""
    found: list[str] = []
    named = {f"tower {n}": point.module for n, point in enumerate(loaded.points("vision_post"))}
    named |= {"projector": loaded.points("projector")[0].module, "decoder": loaded.blocks[0]}
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: found.append(name)) for name, module in named.items()
    ]
    yield found
    for handle in handles:
        handle.remove()


def test_the_pass_ends_after_the_last_block_asked_for_and_no_caption_is_run(
    loaded: LoadedModel, images: list[Path], ran: list[str]
) -> None:
    encode_images(loaded, images, Reading([0], "vision_post"))
    assert ran == ["tower 0"]
    ran.clear()
    encode_images(loaded, images, Reading([0], "projector"))
    assert ran == [f"tower {layer}" for layer in range(loaded.shape.vision_layers)] + ["projector"]


def test_rows_are_named_by_their_place_in_the_image(loaded: LoadedModel, images: list[Path]) -> None:
    tower, soft = (image_rows(loaded, images[0], site) for site in ("vision_post", "projector"))
    patches = tuple(f"[patch {row},{column}]" for row in range(4) for column in range(4))
    if loaded.shape.model_type == "llava":
        assert (tower.names, tower.special) == (("[CLS]", *patches), (True,) + (False,) * 16)
        assert soft.names[5] == "[soft token 1,1]" and len(soft.names) == 16
    else:
        assert (tower.names, tower.special) == (patches, (False,) * 16)
        assert soft.names == ("[soft token 0,0]", "[soft token 0,1]", "[soft token 1,0]", "[soft token 1,1]")
    assert not any(soft.special)
    assert (tower.cost, soft.cost) == (len(tower.names), 16)


def test_a_soft_token_of_gemma_pools_the_patches_of_its_square(tmp_path: Path, images: list[Path]) -> None:
    loaded = load_model(save_tiny_gemma(tmp_path / "model", vision_layers=1, image_tokens=4), "float32", "cpu")
    names = image_rows(loaded, images[0], "projector").names
    projector = loaded.points("projector")[0].module
    with torch.inference_mode():
        plain = torch.zeros(1, 16, 16)
        bright = plain.clone()
        bright[0, 4 * 1 + 2, 0] = 1.0  # the patch in row 1, column 2
        moved = (projector(bright) - projector(plain))[0].norm(dim=-1)
    assert names[int(moved.argmax())] == "[soft token 0,1]"


def test_a_model_without_a_tower_or_projector_is_told(tiny_text_gemma: Path, images: list[Path]) -> None:
    text = load_model(tiny_text_gemma, "float32", "cpu")
    with pytest.raises(BadInput, match=r"capture\.site: .* takes no images to read vision_post of"):
        encode_images(text, images, Reading([0], "vision_post"))
    base = torch.nn.ModuleDict({"vision_tower": torch.nn.Linear(2, 2)})
    with pytest.raises(BadInput, match=r"capture\.site: the vision tower has no list of 3 blocks"):
        vision_points(base, "vision_post", 3)
    with pytest.raises(BadInput, match=r"capture\.site: the model has none of multi_modal_projector, .* vision_tower"):
        vision_points(base, "projector", 3)


def test_the_model_sees_a_picture_upright_and_deep_ones_in_grey(loaded: LoadedModel, tmp_path: Path) -> None:
    scene = Image.radial_gradient("L").crop((0, 0, 200, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    scene.save(tmp_path / "plain.png")
    scene.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.png", exif=exif)
    scene.point(lambda value: value * 257, "I").convert("I;16").save(tmp_path / "deep.png")
    plain, *others = read_pictures(loaded, [tmp_path / f"{name}.png" for name in ("plain", "sideways", "deep")])
    assert all(torch.equal(plain["pixel_values"], other["pixel_values"]) for other in others)


def test_pictures_read_ahead_are_those_read_at_once(loaded: LoadedModel, images: list[Path]) -> None:
    at_once = read_pictures(loaded, images)
    read_ahead(loaded, images)
    for path in images:
        loaded.coming[path].result()
        path.unlink()  # a second look would find nothing
    for ahead, plain in zip(read_pictures(loaded, images), at_once, strict=True):
        assert torch.equal(ahead["pixel_values"], plain["pixel_values"])
    assert not loaded.coming


def test_what_is_no_longer_wanted_is_forgotten(loaded: LoadedModel, images: list[Path]) -> None:
    read_ahead(loaded, images[:2])
    read_ahead(loaded, images[1:])
    assert list(loaded.coming) == images[1:]
    read_ahead(loaded, [])
    assert not loaded.coming


def test_a_picture_that_cannot_be_read_ahead_is_told_when_it_is_asked_for(loaded: LoadedModel, tmp_path: Path) -> None:
    read_ahead(loaded, [tmp_path / "gone.png"])
    with pytest.raises(BadInput, match=r"gone\.png: no such file"):
        read_pictures(loaded, [tmp_path / "gone.png"])
    assert not loaded.coming


def test_patches_lie_in_rows_from_the_first_block_on(loaded: LoadedModel, images: list[Path]) -> None:
    seen: list[bool] = []
    blocks = [point.module for point in loaded.points("vision_post")]
    watch = [
        block.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].is_contiguous()))
        for block in blocks
    ]
    encode_images(loaded, images, Reading([len(blocks) - 1], "vision_post"))
    for handle in watch:
        handle.remove()
    assert seen == [True] * len(blocks)


def test_an_image_that_comes_twice_is_read_once(
    loaded: LoadedModel, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr("core.lm.images._open", lambda path: opened.append(path) or Image.open(path))
    first, second, third = read_pictures(loaded, [images[0], images[1], images[0]])
    assert opened == images[:2]
    assert torch.equal(first["pixel_values"], third["pixel_values"])
    assert not torch.equal(first["pixel_values"], second["pixel_values"])
