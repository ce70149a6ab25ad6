"""What a training run is made of between two steps, and how it survives being killed."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from core.sae.architectures import TopKSAE
from core.sae.kernels import sparse_decode, top_k

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = ("encoder", "decoder", "b_enc", "b_dec")
EPS = 6.25e-10
_MEDIAN_ROWS = 16_384
_SCALE_ROWS = 1024


@dataclass
class TrainingState:
    """Weights in normalised units, Adam's moments, and the step each feature last fired in.

    The encoder is kept transposed, so that its gradient is gathered row by row. `first` and `second` are Adam's running
    means of the gradients and of their squares, in the order of `weights`; `history` holds one tuple of numbers a
    logged step.
    """

    encoder: Float[Tensor, "F D"]
    decoder: Float[Tensor, "F D"]
    b_enc: Float[Tensor, " F"]
    b_dec: Float[Tensor, " D"]
    last_fired: Int[Tensor, " F"]
    first: list[Tensor] = field(default_factory=list)
    second: list[Tensor] = field(default_factory=list)
    step: int = 0
    history: list[tuple[float, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = self.first or [torch.zeros_like(weight) for weight in self.weights]
        self.second = self.second or [torch.zeros_like(weight) for weight in self.weights]

    @property
    def weights(self) -> list[Tensor]:
        """The trained tensors, in the order of `WEIGHTS`."""
        return [self.encoder, self.decoder, self.b_enc, self.b_dec]

    def adam(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        """Move the weights against their gradients by one step of Adam (betas and eps of Gao et al. 2024).

        The fused kernel is called directly: torch.optim.Adam around it costs a small step a tenth of its time, and
        5 s of imports in every process.
        """
        self.step += 1
        torch._fused_adam_(
            self.weights,
            list(gradients),
            self.first,
            self.second,
            [],
            [torch.tensor(float(self.step), device=self.b_dec.device)] * len(self.weights),
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    def export(self, k: int, scale: float) -> TopKSAE:
        """The autoencoder in raw units: x / scale in, x̂ · scale out, folded into the biases.

        Activations grow by `scale` too; the weights stay, for top-k and relu do not mind a positive factor.
        """
        features, d_model = self.decoder.shape
        sae = TopKSAE(d_model, features, k)
        with torch.no_grad():
            sae.W_enc.copy_(self.encoder.T)
            sae.W_dec.copy_(self.decoder)
            sae.b_enc.copy_(self.b_enc * scale)
            sae.b_dec.copy_(self.b_dec * scale)
        return sae.requires_grad_(False).to(self.decoder.device)


def initial_state(x: Float[Tensor, "T D"], num_features: int, k: int, seed: int) -> TrainingState:
    """Random unit decoder, encoder its transpose, pre-bias the geometric median of the normalised rows `x`.

    The encoder is scaled so that the first reconstructions have the right length (least squares over some rows).
    """
    generator = torch.Generator().manual_seed(_seed(seed, "initialisation"))
    random = torch.randn(num_features, x.shape[1], generator=generator)
    decoder = functional.normalize(random, dim=1).to(x.device)
    b_dec = geometric_median(x[:: max(1, len(x) // _MEDIAN_ROWS)])
    centred = x[:: max(1, len(x) // _SCALE_ROWS)] - b_dec
    values, indices = top_k(centred @ decoder.T, min(k, num_features))
    decoded = sparse_decode(indices, values.relu(), decoder)
    scale = (centred * decoded).sum() / (decoded * decoded).sum().clamp_min(1e-12)
    last_fired = torch.zeros(num_features, dtype=torch.int64, device=x.device)
    return TrainingState(decoder * scale, decoder, torch.zeros(num_features, device=x.device), b_dec, last_fired)


def geometric_median(x: Float[Tensor, "T D"], iterations: int = 32) -> Float[Tensor, " D"]:
    """The point of least summed distance to the rows (Weiszfeld's iteration), which outliers cannot drag away."""
    median = x.mean(0)
    for _ in range(iterations):
        weights = 1 / (x - median).norm(dim=1).clamp_min(1e-6)
        median = (weights @ x) / weights.sum()
    return median


def epoch_order(rows: int, seed: int, epoch: int) -> Int[Tensor, " T"]:
    """The order in which an epoch visits the rows: a function of seed and epoch, so that a resumed run needs no RNG."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(_seed(seed, f"epoch {epoch}")))


def _seed(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:7], "big")


def save_checkpoint(folder: Path, state: TrainingState, recipe: str) -> None:
    """Replace the checkpoint in `folder` by the present state, atomically.

    Raises:
        OSError: it cannot be written; the previous checkpoint stays.
    """
    tensors: dict[str, Tensor] = {}
    for role, kept in (("", state.weights), ("first.", state.first), ("second.", state.second)):
        tensors |= {f"{role}{name}": tensor for name, tensor in zip(WEIGHTS, kept)}
    tensors["last_fired"] = state.last_fired
    tensors["step"] = torch.tensor(state.step)
    tensors["history"] = torch.tensor(state.history, dtype=torch.float64)
    partial = folder / f".{CHECKPOINT}.{os.getpid()}"
    try:
        save_file(tensors, partial, metadata={"recipe": recipe})
    except SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"{folder / CHECKPOINT}: cannot be written ({error})") from error
    partial.replace(folder / CHECKPOINT)


def load_checkpoint(folder: Path, recipe: str, device: torch.device) -> TrainingState | None:
    """The state that `save_checkpoint` left for this recipe; None when there is none, or it cannot be read."""
    try:
        with safe_open(folder / CHECKPOINT, "pt") as file:
            if file.metadata().get("recipe") != recipe:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (FileNotFoundError, SafetensorError):
        return None
    history = [tuple(row) for row in tensors.pop("history").tolist()]
    step = int(tensors.pop("step"))
    # a copy in torch's own memory: the file's is aligned otherwise, and vectorised sums then round otherwise
    tensors = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
    first, second = ([tensors[f"{role}.{name}"] for name in WEIGHTS] for role in ("first", "second"))
    encoder, decoder, b_enc, b_dec, last_fired = (tensors[name] for name in (*WEIGHTS, "last_fired"))
    return TrainingState(encoder, decoder, b_enc, b_dec, last_fired, first, second, step, history)
