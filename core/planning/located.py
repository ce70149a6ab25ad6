"""What was found outside a study, and what the model and the samples turned out to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.lm.shape import ModelShape
from core.sae.origins import Trained
from core.store.hashes import HashMemo


@dataclass(frozen=True)
class SAESource:
    """Someone else's SAE of a layer: where it lies, what it holds, and where it was trained."""

    folder: Path
    content: str
    trained: Trained = field(default_factory=Trained)


@dataclass(frozen=True)
class Precomputed:
    """Activations made elsewhere: where they lie, what they hold, and which of their layers the study takes."""

    folder: Path
    content: str
    layers: tuple[int, ...]
    rows: int
    d_model: int


@dataclass(frozen=True)
class Sources:
    """Everything outside the study file that decides its result: places, and hashes of their contents.

    `data` and `model` are hashes; `data_base` is the folder that the table's paths start at. `folder` is the model's,
    null while it lies in a `package` that is still to be converted, or where a `factory` makes it; `model_shape` is
    null as long. `saes` are by field of the study and layer.
    """

    data: str
    model: str
    package: str | None = None
    saes: Mapping[str, Mapping[int, SAESource]] = field(default_factory=dict)
    precomputed: Precomputed | None = None
    data_base: Path = Path("/")
    folder: Path | None = None
    factory: str | None = None
    model_shape: ModelShape | None = None


@dataclass(frozen=True)
class Shape:
    """What must be known before the layers and shards can be named; `vision_…` are of the model's vision tower, and
    `even_images` tells that every image has equally many soft tokens."""

    images: int
    num_layers: int
    d_model: int
    has_images: bool
    vision_layers: int = 0
    vision_width: int = 0
    even_images: bool = True

    @classmethod
    def of(cls, model: ModelShape, images: int, has_images: bool = True) -> "Shape":
        """A study of `images` images, or of as many items where it has none, with that model."""
        seen = has_images and model.has_images
        even = not seen or model.image_tokens > 0
        return cls(images, model.num_layers, model.d_model, seen, model.vision_layers, model.vision_width, even)


@dataclass(frozen=True)
class Reader:
    """What reading sources takes: the memo of hashes, and a way from a package's name and content to the checkpoint
    that was made of it, null while there is none."""

    memo: HashMemo
    converted: Callable[[str, str], Path | None]
