"""What the tensors of a pickled autoencoder are, by their names; how they lie follows from the name too.

A linear layer's weight is [out, in], a plain parameter is written as it is multiplied. Where the shapes are not square
they are held against that; where they are, the name alone decides.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import BadInput
from core.sae.weights import Weights

_LINEAR = ("{}.weight", "{}_linear.weight", "{}_layer.weight", "{}.linear.weight", "{}.0.weight")


def _linear(layers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(form.format(layer) for layer in layers for form in _LINEAR)


_ENCODERS = ("encoder", "enc", "encode")
_DECODERS = ("decoder", "dec", "decode")
_ENCODER_WEIGHTS = frozenset(_linear(_ENCODERS))
_PARAMETERS = ("W_{}", "w_{}", "W_{}oder", "w_{}oder", "{}oder_weight")
_ENCODER_BIASES = (
    *(f"{name}{ending}" for name in _ENCODERS for ending in (".bias", "_linear.bias", "_layer.bias", ".linear.bias")),
    *("encoder.0.bias", "b_enc", "encoder_bias", "enc_bias", "bias_enc", "latent_bias", "encoder_b"),
)
_DECODER_BIASES = (
    *(f"{name}{ending}" for name in _DECODERS for ending in (".bias", "_linear.bias", "_layer.bias", ".linear.bias")),
    *("decoder.0.bias", "b_dec", "decoder_bias", "dec_bias", "bias_dec", "decoder_b", "b_pre", "pre_bias", "bias"),
)
PRE_BIASES = ("pre_bias", "b_pre")
"""Named by what is done with them: taken from the input, and added to the output again."""
_GATES: Mapping[str, tuple[str, ...]] = {
    "b_gate": ("b_gate", "gate_bias"),
    "b_mag": ("b_mag", "mag_bias"),
    "r_mag": ("r_mag",),
}
# Counts of training, and settings that `sae_file` reads.
_COUNTS = ("k", "group_sizes", "stats_last_nonzero", "last_fired", "steps_since_fired", "num_batches_not_active")


@dataclass(frozen=True)
class Parts:
    """An autoencoder's tensors in the layout used here, by the names used here: W_enc [D, F], W_dec [F, D], b_enc [F],
    b_dec [D], and where there are such, `threshold` ([F], or one number) and a gate's b_gate, b_mag and r_mag [F].

    `bias_name` is what b_dec is called in the file, null where it has none.
    """

    tensors: Mapping[str, Tensor]
    bias_name: str | None

    @property
    def size(self) -> tuple[int, int]:
        """D and F."""
        d_model, features = self.tensors["W_enc"].shape
        return d_model, features

    @property
    def gated(self) -> bool:
        """Whether a gate decides what fires."""
        return "b_gate" in self.tensors


def read_parts(path: Path, tensors: Mapping[str, Tensor], tied: bool, report: Callable[[str], None]) -> Parts:
    """Name every tensor; `tied` says that the decoder is the encoder's transpose where none is stored.

    Raises:
        BadInput: encoder or decoder is not found, a shape does not fit, a number is NaN or Inf, or a tensor is left
            over.
    """
    weights = _unwrapped(path, tensors, report)
    encoder = _matrix(weights, _ENCODERS, "enc")
    decoder = _matrix(weights, _DECODERS, "dec")
    if encoder is None or (decoder is None and not tied):
        _refuse_without(weights, "encoder" if encoder is None else "decoder")
    b_enc, b_dec = _first(weights, _ENCODER_BIASES), _first(weights, _DECODER_BIASES)
    found = {"W_enc": encoder, "W_dec": encoder.T.clone() if decoder is None else decoder}
    biases = {name: weights.get(stored) for name, stored in (("b_enc", b_enc), ("b_dec", b_dec)) if stored is not None}
    found = _upright(path, found, biases, report)
    d_model, features = found["W_enc"].shape
    for name, size in (("b_enc", features), ("b_dec", d_model)):
        if name not in biases and not (name == "b_enc" and _first(weights, _GATES["b_mag"])):
            report(f"{path}: it has no {name}; 0 is taken")
        found[name] = biases.get(name, torch.zeros(size))
    found |= _thresholds(weights, features)
    weights.pass_over(*_COUNTS)
    weights.refuse_unread()
    if features < d_model:
        report(f"{path}: {features} features for rows of width {d_model}: fewer than dimensions, as its names say")
    return Parts(found, b_dec)


def _refuse_without(weights: Weights, what: str) -> NoReturn:
    fix = f"name it {what}.weight (a linear layer's, [out, in]) or W_{what[:3]}"
    if what == "decoder":
        fix += ", or save tied_weights: True with it where the decoder is the encoder's transpose"
    raise BadInput(f"{weights.path}: no {what} weight among {', '.join(sorted(weights.tensors))}; {fix}")


def _unwrapped(path: Path, tensors: Mapping[str, Tensor], report: Callable[[str], None]) -> Weights:
    weights = Weights.of(path, tensors)
    stripped, plain = weights.stripped, dict(weights.tensors)
    while not plain.keys() & _ENCODER_WEIGHTS and _share_beginning(plain):
        shared = next(iter(plain)).partition(".")[0]
        stripped += f"{shared}."
        plain = {name.removeprefix(f"{shared}."): plain[name] for name in plain}
    if stripped:
        report(f"{path}: every tensor's name begins with {stripped!r}, which was left out")
    return Weights(path, plain, stripped)


def _share_beginning(names: Collection[str]) -> bool:
    return len({name.partition(".")[0] for name in names}) == 1 and all("." in name for name in names)


def _matrix(weights: Weights, layers: tuple[str, ...], short: str) -> Float[Tensor, "a b"] | None:
    """As it is multiplied from the right: a linear layer's is stored the other way round."""
    linear = _first(weights, _linear(layers))
    parameter = _first(weights, (*(form.format(short) for form in _PARAMETERS), layers[0]))
    name = linear or parameter
    if name is None:
        return None
    matrix = weights.get(name)
    if matrix.ndim != 2:
        raise BadInput(f"{weights.path}: {name} is {list(matrix.shape)}; a matrix is needed")
    return matrix.T if linear else matrix


def _first(weights: Weights, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in weights.tensors), None)


def _upright(
    path: Path, matrices: dict[str, Tensor], biases: Mapping[str, Tensor], report: Callable[[str], None]
) -> dict[str, Tensor]:
    """The matrices as [D, F] and [F, D]: as their names say, or both the other way where only that fits the biases."""
    if _fits(matrices, biases):
        return matrices
    turned = {name: matrix.T for name, matrix in matrices.items()}
    if _fits(turned, biases):
        report(f"{path}: W_enc and W_dec lie transposed, as their biases' lengths show")
        return turned
    shapes = {**matrices, **biases}
    words = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in shapes.items())
    raise BadInput(f"{path}: the shapes do not fit each other: {words}; W_enc is [D, F], W_dec [F, D]")


def _fits(matrices: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> bool:
    d_model, features = matrices["W_enc"].shape
    expected = {"W_dec": (features, d_model), "b_enc": (features,), "b_dec": (d_model,)}
    return all(
        tuple(tensor.shape) == expected.get(name, tensor.shape) for name, tensor in {**matrices, **biases}.items()
    )


def _thresholds(weights: Weights, features: int) -> dict[str, Tensor]:
    found = {}
    for name, names in _GATES.items():
        if stored := _first(weights, names):
            found[name] = weights.get(stored, (features,), "the encoder")
    if 0 < len(found) < len(_GATES):
        lacking = next(name for name in _GATES if name not in found)
        raise BadInput(f"{weights.path}: a gated SAE has {', '.join(_GATES)}; {lacking} is missing")
    if "threshold" in weights.tensors:
        one = weights.tensors["threshold"].ndim == 0
        found["threshold"] = weights.get("threshold", () if one else (features,), "the encoder")
    elif "log_threshold" in weights.tensors:
        found["threshold"] = weights.get("log_threshold", (features,), "the encoder").exp()
    return found
