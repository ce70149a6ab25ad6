"""What a training run is made of between two steps, and how it survives being killed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from core.sae.architectures import SparseAutoencoder
from core.sae.gpu_moment import GPUMoment
from core.sae.kernels import sparse_decode, top_k
from core.sae.reading import generator_for, some_of
from core.sae.selection import Controls, Parameters, Selection

CHECKPOINT = "checkpoint.safetensors"
EPS = 6.25e-10
_MEDIAN_ROWS = 16_384
_SCALE_ROWS = 1024


@dataclass
class TrainingState:
    """Weights in normalised units, Adam's moments, and the step each feature last fired in.

    `weights` are `encoder` [F, D] (transposed, so that its gradient is gathered row by row), `decoder` [F, O], `b_enc`,
    `b_dec` and what the architecture adds. `input_bias` centres the encoder's input where input and target differ
    (a transcoder), else `b_dec` does. `first` and `second` are Adam's running means of the gradients and of their
    squares, for the weights that are trained (a frozen decoder is not); `average` is the running mean of the weights
    where there is one; `history` holds a tuple of numbers a logged step. `noted` is when `last_fired` is up to date on
    a GPU.
    """

    weights: Parameters
    last_fired: Int[Tensor, " F"]
    input_bias: Float[Tensor, " D"] | None = None
    first: Parameters = field(default_factory=dict)
    second: Parameters = field(default_factory=dict)
    average: Parameters = field(default_factory=dict)
    controls: Controls = field(default_factory=Controls)
    step: int = 0
    history: list[tuple[float, ...]] = field(default_factory=list)
    noted: GPUMoment | None = None

    def __post_init__(self) -> None:
        self.first = self.first or {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.second = self.second or {name: torch.zeros_like(weight) for name, weight in self.weights.items()}

    @property
    def tied(self) -> bool:
        """Whether the rows that go in are those that should come out."""
        return self.input_bias is None

    @property
    def decoder_frozen(self) -> bool:
        """Whether the decoder stays as it started."""
        return "decoder" not in self.first

    @property
    def b_in(self) -> Float[Tensor, " D"]:
        """What the encoder's input is centred by."""
        return self.weights["b_dec"] if self.input_bias is None else self.input_bias

    def note(self, fired: Bool[Tensor, " F"]) -> None:
        """Note the features that fired in the step that is being taken."""
        self.last_fired.masked_fill_(fired, self.step + 1)
        if self.last_fired.device.type == "cuda":
            self.noted = GPUMoment.now(self.last_fired.device, self.noted)

    def silent_for(self, steps: int) -> Int[Tensor, " d"]:
        """The features that have not fired for so many steps.

        How many there are must be waited for. On a GPU this waits until the last step has noted who fired, not until it
        has moved the weights, which goes on while the next step is sent: of a step of 256 rows a quarter.
        """
        if self.noted is None:
            return (self.step - self.last_fired >= steps).nonzero().squeeze(1)
        with self.noted.reached():
            found = (self.step - self.last_fired >= steps).nonzero().squeeze(1)
        found.record_stream(torch.cuda.current_stream(found.device))
        return found

    def adam(
        self,
        gradients: Parameters,
        learning_rate: float,
        excess: Float[Tensor, ""] | None = None,
        paces: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Move the weights against their gradients, divided by `excess`, by one step of Adam (betas and eps of
        Gao et al. 2024); by name, `paces` are how many times the learning rate some of them take.

        The fused kernel is called directly: torch.optim.Adam around it costs a small step a tenth of its time, and
        5 s of imports in every process.
        """
        self.step += 1
        self._adam([name for name in self.first if name not in paces], gradients, learning_rate, excess)
        for name, pace in paces.items():
            self._adam([name], gradients, learning_rate * pace, excess)

    def _adam(
        self, names: list[str], gradients: Parameters, learning_rate: float, excess: Float[Tensor, ""] | None
    ) -> None:
        torch._fused_adam_(
            [self.weights[name] for name in names],
            [gradients[name] for name in names],
            [self.first[name] for name in names],
            [self.second[name] for name in names],
            [],
            [torch.full((), float(self.step), device=self.last_fired.device)] * len(names),
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=EPS,
            amsgrad=False,
            maximize=False,
            grad_scale=excess,
        )

    def take_average(self, decay: float) -> None:
        """Move the running mean of the weights towards them; the first ones are soon forgotten, and its decoder's rows
        keep unit norm."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        if not self.average:
            self.average = {name: weight.clone() for name, weight in self.weights.items()}
        for name in self.first:
            self.average[name].lerp_(self.weights[name], 1 - decay)
        if not self.decoder_frozen:
            decoder = self.average["decoder"]
            decoder.div_(torch.linalg.vector_norm(decoder, dim=1, keepdim=True))

    def export(
        self, selection: Selection, k: int, scales: tuple[float, float], controls: Controls
    ) -> SparseAutoencoder:
        """The autoencoder in raw units: x / scale in, x̂ · target_scale out, `scales` being the two.

        Biases and thresholds grow with the input's scale, and so do activations; where the target's differs, the
        decoder makes it up and is no longer of unit norm.
        """
        weights, (scale, target_scale) = self.average or self.weights, scales
        firing = selection.firing(weights, k, controls)
        features, d_out = weights["decoder"].shape
        with torch.device(self.last_fired.device):  # by way of the CPU a GPU's took a tenth of a second per epoch
            sae = SparseAutoencoder(weights["encoder"].shape[1], features, k=firing.k, d_out=d_out)
        encoder = weights["encoder"] if firing.gain is None else weights["encoder"] * firing.gain.unsqueeze(1)
        with torch.no_grad():
            sae.W_enc.copy_(encoder.T)
            sae.W_dec.copy_(weights["decoder"] * (target_scale / scale))
            sae.b_enc.copy_(firing.b_enc * scale)
            sae.b_dec.copy_(weights["b_dec"] * target_scale)
            if firing.threshold is not None:
                sae.threshold = firing.threshold * scale
            if self.input_bias is not None:
                sae.b_in, sae.transcodes = self.input_bias * scale, True
        return sae.requires_grad_(False)


@dataclass(frozen=True)
class Start:
    """How a run begins: features, active features per row, the seed, and whether the decoder stays as it starts."""

    num_features: int
    k: int
    seed: int
    frozen_decoder: bool = False


def initial_state(
    x: Float[Tensor, "T D"], y: Float[Tensor, "T O"] | None, selection: Selection, start: Start
) -> TrainingState:
    """Random unit decoder, encoder its transpose, biases the geometric medians of the normalised rows.

    The encoder is scaled so that the first reconstructions have the right length (least squares over some rows). A
    transcoder, whose target `y` is not its input, has an encoder of its own random directions. A run whose decoder
    stays frozen starts as the one that trains it.
    """
    generator = generator_for(start.seed, "initialisation")
    target = x if y is None else y
    decoder = _directions(start.num_features, target, generator)
    encoder = decoder.clone() if y is None else _directions(start.num_features, x, generator)
    b_dec = geometric_median(_some(target, _MEDIAN_ROWS))
    b_in = None if y is None else geometric_median(_some(x, _MEDIAN_ROWS))
    centred = _some(x, _SCALE_ROWS) - (b_dec if b_in is None else b_in)
    values, indices = top_k(centred @ encoder.T, min(start.k, start.num_features))
    decoded = sparse_decode(indices, values.relu(), decoder)
    wanted = _some(target, _SCALE_ROWS) - b_dec
    # A transcoder's random directions rebuild nothing yet: there the right length is all that can be asked for.
    scale = (wanted * decoded).sum() / decoded.square().sum() if y is None else wanted.norm() / decoded.norm()
    encoder *= scale.nan_to_num(1.0).clamp_min(1e-6)
    own = selection.own(centred @ encoder.T, start.k)
    b_enc = own.pop("b_enc", torch.zeros(start.num_features, device=x.device))
    last_fired = torch.zeros(start.num_features, dtype=torch.int64, device=x.device)
    weights = {"encoder": encoder, "decoder": decoder, "b_enc": b_enc, "b_dec": b_dec, **own}
    trained = [name for name in weights if not (start.frozen_decoder and name == "decoder")]
    first, second = ({name: torch.zeros_like(weights[name]) for name in trained} for _ in range(2))
    return TrainingState(weights, last_fired, b_in, first, second, controls=selection.start())


def _directions(count: int, like: Float[Tensor, "T D"], generator: torch.Generator) -> Float[Tensor, "F D"]:
    return functional.normalize(torch.randn(count, like.shape[1], generator=generator), dim=1).to(like.device)


def _some(x: Float[Tensor, "T D"], count: int) -> Float[Tensor, "t D"]:
    return x.index_select(0, some_of(x, count))


def geometric_median(x: Float[Tensor, "T D"], iterations: int = 32) -> Float[Tensor, " D"]:
    """The point of least summed distance to the rows (Weiszfeld's iteration), which outliers cannot drag away."""
    median = x.mean(0)
    for _ in range(iterations):
        weights = 1 / (x - median).norm(dim=1).clamp_min(1e-6)
        median = (weights @ x) / weights.sum()
    return median


def save_checkpoint(folder: Path, state: TrainingState, recipe: str) -> None:
    """Replace the checkpoint in `folder` by the present state, atomically.

    Raises:
        OSError: it cannot be written; the previous checkpoint stays.
    """
    roles = {"weight": state.weights, "first": state.first, "second": state.second, "average": state.average}
    tensors = {f"{role}.{name}": tensor for role, kept in roles.items() for name, tensor in kept.items()}
    tensors["last_fired"] = state.last_fired
    tensors["history"] = torch.tensor(state.history, dtype=torch.float64)
    if state.input_bias is not None:
        tensors["input_bias"] = state.input_bias
    scalars = json.dumps({"step": state.step, **asdict(state.controls)})  # repr: not a bit is lost
    partial = folder / f".{CHECKPOINT}.partial"  # one writer has the lease: a killed one's is written over
    try:
        save_file(tensors, partial, metadata={"recipe": recipe, "scalars": scalars})
    except SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"{folder / CHECKPOINT}: cannot be written ({error})") from error
    partial.replace(folder / CHECKPOINT)


def load_checkpoint(folder: Path, recipe: str, device: torch.device) -> TrainingState | None:
    """The state that `save_checkpoint` left for this recipe; None when there is none, or it cannot be read."""
    try:
        with safe_open(folder / CHECKPOINT, "pt") as file:
            metadata = file.metadata()
            if metadata.get("recipe") != recipe:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (FileNotFoundError, SafetensorError):
        return None
    history = [tuple(row) for row in tensors.pop("history").tolist()]
    # a copy in torch's own memory: the file's is aligned otherwise, and vectorised sums then round otherwise
    tensors = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
    weights, first, second, average = (_of(tensors, role) for role in ("weight", "first", "second", "average"))
    scalars = json.loads(metadata["scalars"])
    step = scalars.pop("step")
    return TrainingState(
        weights,
        tensors["last_fired"],
        tensors.get("input_bias"),
        first,
        second,
        average,
        Controls(**scalars),
        step,
        history,
    )


def _of(tensors: Parameters, role: str) -> Parameters:
    names: Iterable[str] = (name for name in tensors if name.startswith(f"{role}."))
    return {name.removeprefix(f"{role}."): tensors[name] for name in names}
