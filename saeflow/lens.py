"""The logit lens: what a model would say if a layer's residual stream were its last one, plain or through an SAE.

>>> import saeflow
>>> model, sae = saeflow.lm.load("tiny-model"), saeflow.lm.load_sae("tiny-sae")
>>> batch = model.tokens(["A woman sings."])
>>> first, last = by_layer(model, batch, layers=[0, model.num_layers - 1]).values()
>>> first.top_ids.shape == (int(batch.lengths.sum()), 10), float(last.kl.max())
(True, 0.0)

Through an SAE its reconstruction is read, and its error stands beside what is read:

>>> _, kept = model.run_with_cache(batch, ["resid_post.1"])
>>> found = read_through(model, sae, kept["resid_post.1"][0])
>>> found.error.shape == found.divergence.shape == found.reading.entropy.shape
True
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from core.lm.hook_points import point_names
from core.lm.language_model import LanguageModel
from core.lm.lens import LensReading as LensReading
from core.lm.lens import lens_logits, read_lens, read_streams
from core.lm.texts import TextBatch
from core.sae.architectures import SparseAutoencoder
from core.sae.lens import ThroughSAE as ThroughSAE
from core.sae.lens import read_lens_through
from core.study.sites import STREAM

__all__ = ["LensReading", "ThroughSAE", "by_layer", "logits", "read", "read_through"]


def logits(model: LanguageModel, stream: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
    """The logits of rows of the residual stream: final norm, vocabulary head, what the model scales and soft-caps.

    Raises:
        BadInput: the rows have another width than the stream, or the model makes its logits in another way.
    """
    return lens_logits(model.loaded, stream)


def read(
    model: LanguageModel,
    stream: Float[Tensor, "n D"],
    final: Float[Tensor, "n D"] | None = None,
    k: int = 10,
    tokens: Sequence[int] = (),
) -> LensReading:
    """What the lens reads in rows of a layer's stream.

    Args:
        model: the model.
        stream: rows of one layer.
        final: the same rows of the last layer: what `kl` is measured against.
        k: likeliest tokens that are kept.
        tokens: token ids whose ranks are read.

    Raises:
        BadInput: `final` has other rows, a token is none of the model's, or the rows do not fit the model.
    """
    return read_lens(model.loaded, stream, final, k=k, tokens=tokens)


def read_through(
    model: LanguageModel,
    sae: SparseAutoencoder,
    stream: Float[Tensor, "n D"],
    final: Float[Tensor, "n D"] | None = None,
    tokens: Sequence[int] = (),
) -> ThroughSAE:
    """What the lens reads in an SAE's reconstruction of rows, ten tokens of each, and how far that is from the rows.

    Raises:
        BadInput: the SAE reads rows of another width, or as `read`.
    """
    return read_lens_through(model.loaded, sae, stream, final, tokens=tokens)


def by_layer(
    model: LanguageModel,
    batch: TextBatch,
    layers: Sequence[int] | None = None,
    k: int = 10,
    tokens: Sequence[int] = (),
) -> dict[int, LensReading]:
    """What the lens reads after some layers, or all of them, at every token of a batch (its `real` positions, row by
    row), against the last layer.

    Raises:
        BadInput: a layer is beyond the model, or the streams do not fit into an activation cache.
    """
    last = model.num_layers - 1
    names = point_names(model.loaded, [STREAM])
    chosen = range(model.num_layers) if layers is None else layers
    wanted = {layer: names[layer] if 0 <= layer <= last else f"{STREAM}.{layer}" for layer in (*chosen, last)}
    with model.cache([*wanted.values()]) as kept:
        model.run(batch)
        streams = {layer: kept[wanted[layer]][batch.real] for layer in wanted}
        return read_streams(model.loaded, {one: streams[one] for one in chosen}, streams[last], k=k, tokens=tokens)
