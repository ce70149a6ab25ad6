"""The tensors of a model's layers that a study can capture."""

from typing import Literal, NamedTuple, Protocol

from core.errors import BadInput

Site = Literal[
    "resid_post",
    "attn_z",
    "attn_out",
    "attn_out_normed",
    "mlp_out",
    "mlp_out_normed",
    "vision_post",
    "projector",
]
"""By TransformerLens' and Gemma Scope 2's names where they agree; `docs/activations.md` names each one's tensor."""

STREAM: Site = "resid_post"
"""What blocks hand on: the analyses that change the model's run change it there."""
ADDED: tuple[Site, ...] = ("attn_out_normed", "mlp_out_normed")
"""What a sublayer adds to the stream, so that directions of these sites can be read by the vocabulary head."""
VISION: tuple[Site, ...] = ("vision_post", "projector")
"""Read before any token: the vision tower's blocks, and what the projector makes of them for the decoder."""


class Sized(Protocol):
    """A model's numbers of layers and widths, decoder and vision tower."""

    @property
    def num_layers(self) -> int:
        """Blocks of the decoder."""

    @property
    def d_model(self) -> int:
        """Width of the decoder's stream."""

    @property
    def has_images(self) -> bool:
        """Whether there are images to read."""

    @property
    def vision_layers(self) -> int:
        """Blocks of the vision tower."""

    @property
    def vision_width(self) -> int:
        """Width of the vision tower's stream."""


class Extent(NamedTuple):
    """The part of a model that a site is read in: its name, its layers, and the width of its stream."""

    name: str
    layers: int
    width: int


def extent(model: Sized, site: Site) -> Extent:
    """The part of the model in which `site` is read; what the projector gives is one layer as wide as the decoder.

    Raises:
        BadInput: the site is one of images, and there are none, or the tower's size is not stated.
    """
    if site not in VISION:
        return Extent("the model", model.num_layers, model.d_model)
    if not model.has_images:
        raise BadInput(f"capture.site: {site} is read of images, and the model or the samples have none; use {STREAM}")
    if site == "projector":
        return Extent("the projector", 1, model.d_model)
    if not (model.vision_layers and model.vision_width):
        raise BadInput(f"capture.site: {site}: the model's config.json states no layers or width in its vision_config")
    return Extent("the vision tower", model.vision_layers, model.vision_width)
