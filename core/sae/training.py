"""Train a TopK autoencoder on the rows of one layer: sparse gradients by hand, resumable to the bit."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import BadInput
from core.progress import Progress, Stopped, silent
from core.sae.architectures import TopKSAE
from core.sae.metrics import evaluate, final_metrics
from core.sae.objective import Gradients, Objective, Outcome
from core.sae.rows import Rows
from core.sae.state import TrainingState, epoch_order, initial_state, load_checkpoint, save_checkpoint
from core.study.model import SAEConfig

HISTORY = pl.Schema(
    {
        "step": pl.UInt32,
        "epoch": pl.Float64,
        "learning_rate": pl.Float64,
        "loss": pl.Float64,
        "fvu": pl.Float64,
        "l0": pl.Float64,
        "dead": pl.Float64,
        "held_out_fvu": pl.Float64,
    }
)
"""One row a logged step: loss, FVU and L0 of its batch, dead fraction; held-out FVU where an epoch ends."""

_LOGGED_STEPS = 200
_HELD_OUT_ROWS = 2048
_FIRST_ROWS = 16_384


@dataclass(frozen=True)
class TrainedSAE:
    """A trained autoencoder in raw units, its curves, its final figures, and each feature's firing rate [F]."""

    sae: TopKSAE
    history: pl.DataFrame
    metrics: dict[str, float]
    firing_rate: Float[Tensor, " F"]


def train(rows: Rows, config: SAEConfig, checkpoint: Path, progress: Progress = silent) -> TrainedSAE:
    """Train on `rows.train`, from where the checkpoint in the folder `checkpoint` stands if there is one.

    `progress` is called after every step, with the figures of the moment where they are logged. A run that was
    killed and started again ends in the same bits as one left alone, on a CPU with the same number of threads.

    Raises:
        BadInput: there are no training rows, some are not finite, `k` exceeds the number of features, or the loss ran
            away.
        OSError: a checkpoint cannot be written.
        Stopped: `progress` asked for it; the state is checkpointed first.
    """
    run = _Run.prepare(rows, config)
    checkpoint.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        state = load_checkpoint(checkpoint, run.recipe, rows.train.device) or run.start()
        try:
            run.steps(state, checkpoint, progress)
        except Stopped:
            save_checkpoint(checkpoint, state, run.recipe)
            raise
        sae = state.export(config.k, run.scale)
        metrics, firing_rate = final_metrics(sae, rows)
    history = pl.DataFrame(state.history, schema=dict.fromkeys(HISTORY, pl.Float64), orient="row")
    frame = history.with_columns(pl.col("held_out_fvu").fill_nan(None)).cast(HISTORY)
    return TrainedSAE(sae, frame, {**metrics, "scale": run.scale}, firing_rate)


@dataclass(frozen=True)
class _Run:
    """What stays the same from a run's first step to its last; `scale` divides the rows."""

    rows: Rows
    config: SAEConfig
    objective: Objective
    num_features: int
    batch: int
    scale: float

    @classmethod
    def prepare(cls, rows: Rows, config: SAEConfig) -> "_Run":
        count, d_model = rows.train.shape
        num_features = config.expansion * d_model
        if count == 0:
            raise BadInput("sae: there are no training rows; check capture.segments, data.splits and dropped rows")
        if config.k > num_features:
            raise BadInput(f"sae.k: {config.k} exceeds the {num_features} features of sae.expansion {config.expansion}")
        scale, variance = _moments(rows.train)
        if not math.isfinite(scale):
            raise BadInput("sae: training rows hold NaN or Inf; set capture.nonfinite to drop or recompute")
        objective = Objective(config.k, variance, config.auxk_alpha)
        return cls(rows, config, objective, num_features, min(config.batch_size, count), scale)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches an epoch; which rows are left over changes with each epoch's order."""
        return len(self.rows.train) // self.batch

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.steps_per_epoch * self.config.epochs

    @property
    def recipe(self) -> str:
        """What a checkpoint must agree with before it is continued."""
        config = self.config.model_dump(mode="json", exclude={"checkpoint_every"})
        return json.dumps([config, *self.rows.train.shape, self.scale, self.objective.variance], sort_keys=True)

    def start(self) -> TrainingState:
        """The state before the first step."""
        few = self.rows.train[:: max(1, len(self.rows.train) // _FIRST_ROWS)]
        return initial_state(few.float() / self.scale, self.num_features, self.config.k, self.config.seed)

    def steps(self, state: TrainingState, checkpoint: Path, progress: Progress) -> None:
        """Take every step that is left, logging and checkpointing on the way."""
        per_epoch, every = self.steps_per_epoch, max(1, self.total // _LOGGED_STEPS)
        epoch, order = -1, torch.empty(0, dtype=torch.int64)
        while state.step < self.total:
            if state.step // per_epoch != epoch:
                epoch = state.step // per_epoch
                order = epoch_order(len(self.rows.train), self.config.seed, epoch).to(self.rows.train.device)
            dead = (state.step - state.last_fired >= per_epoch).nonzero().squeeze(1)
            outcome = self.objective(state, self._batch(state.step, order), dead)
            self._update(state, outcome)
            ended = state.step % per_epoch == 0
            figures = self._figures(state, outcome, len(dead)) if ended or state.step % every == 0 else None
            if figures is not None:
                held_out = self._held_out_fvu(state) if ended else math.nan
                state.history.append((*figures.values(), held_out))
            if state.step % self.config.checkpoint_every == 0 and state.step < self.total:
                save_checkpoint(checkpoint, state, self.recipe)
            progress(state.step, self.total, figures)

    def _batch(self, step: int, order: Int[Tensor, " T"]) -> Float[Tensor, "B D"]:
        place = step % self.steps_per_epoch * self.batch
        x = torch.index_select(self.rows.train, 0, order[place : place + self.batch])
        return x.float() / self.scale

    def _update(self, state: TrainingState, outcome: Outcome) -> None:
        """One step of Adam, the decoder's rows kept at unit norm."""
        _remove_parallel(outcome.gradients, state.decoder)
        state.adam(outcome.gradients, self.learning_rate(state.step))
        state.decoder.div_(torch.linalg.vector_norm(state.decoder, dim=1, keepdim=True))
        state.last_fired.masked_fill_(outcome.fired, state.step)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up over a twentieth of the run (at most 1000 steps), flat, then linear to 0 over a fifth."""
        peak = self.config.learning_rate or 2e-4 / math.sqrt(self.num_features / 2**14)
        warm_up, decay = min(1000, max(1, self.total // 20)), max(1, self.total // 5)
        return peak * min(1.0, (step + 1) / warm_up, (self.total - step) / decay)

    def _figures(self, state: TrainingState, outcome: Outcome, dead: int) -> dict[str, float]:
        if not math.isfinite(float(outcome.fvu)):
            raise BadInput(f"sae: the loss is no longer finite at step {state.step}; lower sae.learning_rate")
        return {
            "step": float(state.step),
            "epoch": state.step / self.steps_per_epoch,
            "learning_rate": self.learning_rate(state.step - 1),
            "loss": float(outcome.fvu + outcome.auxk),
            "fvu": float(outcome.fvu),
            "l0": float(outcome.l0),
            "dead": dead / self.num_features,
        }

    def _held_out_fvu(self, state: TrainingState) -> float:
        rows = self.rows.held_out
        if not len(rows):
            return math.nan
        return evaluate(state.export(self.config.k, self.scale), rows[:: max(1, len(rows) // _HELD_OUT_ROWS)]).fvu


def _remove_parallel(gradients: Gradients, decoder: Float[Tensor, "F D"]) -> None:
    # along a unit row only its length would change, which the norm constraint undoes: Adam's moments must not see it
    along = (gradients.decoder * decoder).sum(1, keepdim=True)
    gradients.decoder.sub_(decoder * along)


def _moments(x: Float[Tensor, "T D"]) -> tuple[float, float]:
    """The scale that brings the mean squared norm to D, and the scaled rows' mean squared distance from their mean."""
    total = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    squares = torch.zeros_like(total)
    for block in torch.split(x, 8192):
        wide = block.double()
        total += wide.sum(0)
        squares += wide.square().sum(0)
    second = squares / len(x)
    scale = math.sqrt(float(second.sum()) / x.shape[1]) or 1.0
    variance = float((second - (total / len(x)).square()).clamp_min(0).sum()) / scale**2
    return scale, variance or 1.0
