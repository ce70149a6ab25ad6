"""Train an autoencoder on the rows of one layer: sparse gradients by hand, resumable to the bit."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import BadInput
from core.progress import Progress, Stopped, silent
from core.sae.architectures import SparseAutoencoder
from core.sae.metrics import Quality, evaluate, final_metrics
from core.sae.objective import Objective, Outcome
from core.sae.penalised import selection_of
from core.sae.reading import Drawn, StoredRows, batches, some_of
from core.sae.rows import Rows
from core.sae.schedule import Schedule
from core.sae.selection import Batch, BatchTopK, Controls, Parameters
from core.sae.state import Start, TrainingState, initial_state, load_checkpoint, save_checkpoint
from core.study.sae import SAEConfig

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
_CHECKPOINT_S = 600.0
"""However slow the steps are, a killed run loses no more than this."""
_CALIBRATED_ROWS = 2048
"""Training rows on which BatchTopK's threshold is set so that k features fire, whenever it is exported."""
_PREFIXES = 5
"""Nested dictionaries of Matryoshka: F/16, F/8, F/4, F/2 and F features."""
_SETTLED = 0.9
"""Under a fixed penalty L0 has settled once an epoch leaves more than this share of the one before."""
_START_SHARE = 8
"""Without a `k` to aim at, the start is scaled as if one feature in so many dimensions were active."""
_IMPROVES = 1e-3
"""By what share held-out FVU must fall for an epoch to count as a better one."""


@dataclass(frozen=True)
class TrainedSAE:
    """A trained autoencoder in raw units, its curves, and how good it came out."""

    sae: SparseAutoencoder
    history: pl.DataFrame
    quality: Quality


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
    run = Run.prepare(rows, config)
    checkpoint.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        state = load_checkpoint(checkpoint, run.recipe, rows.train.device) or run.start()
        try:
            run.steps(state, checkpoint, progress)
        except Stopped:
            save_checkpoint(checkpoint, state, run.recipe)
            raise
        sae = run.export(state)
        quality = final_metrics(sae, rows)
    history = pl.DataFrame(state.history, schema=dict.fromkeys(HISTORY, pl.Float64), orient="row")
    frame = history.with_columns(pl.col("held_out_fvu").fill_nan(None)).cast(HISTORY)
    quality.metrics.update(scale=run.scale, steps=float(state.step))
    return TrainedSAE(sae, frame, quality)


@dataclass(frozen=True)
class Run:
    """What stays the same from a run's first step to its last; `scale` divides the rows, `target_scale` what they
    should give."""

    rows: Rows
    config: SAEConfig
    objective: Objective
    schedule: Schedule
    num_features: int
    batch: int
    scale: float
    target_scale: float

    @classmethod
    def prepare(cls, rows: Rows, config: SAEConfig) -> "Run":
        """Measure the rows, and settle what follows from the settings.

        Raises:
            BadInput: there are no training rows, some are not finite, or `k` exceeds the number of features.
        """
        count, d_model = rows.train.shape
        num_features = config.expansion * d_model
        if count == 0:
            raise BadInput("sae: there are no training rows; check capture.segments, data.splits and dropped rows")
        if config.k > num_features and config.l1_coefficient is None:
            raise BadInput(f"sae.k: {config.k} exceeds the {num_features} features of sae.expansion {config.expansion}")
        scale, variance = _moments(rows.train)
        target_scale = scale
        if rows.train_target is not None:
            target_scale, variance = _moments(rows.train_target)
        if not math.isfinite(scale + target_scale):
            raise BadInput("sae: training rows hold NaN or Inf; set capture.nonfinite to drop or recompute")
        batch = min(config.batch_size, count)
        schedule = Schedule.of(config, count // batch, num_features)
        selection = selection_of(config, schedule)
        prefixes = tuple(num_features >> n for n in reversed(range(_PREFIXES)))
        nested = prefixes if config.architecture == "matryoshka" else ()
        rounds = rows.train.device.type != "cpu"
        objective = Objective(selection, variance, config.auxk_alpha * selection.revival, nested, rounds)
        return cls(rows, config, objective, schedule, num_features, batch, scale, target_scale)

    @property
    def recipe(self) -> str:
        """What a checkpoint must agree with before it is continued."""
        config = self.config.model_dump(mode="json", exclude={"checkpoint_every"})
        numbers = [*self.rows.train.shape, self.scale, self.target_scale, self.objective.variance]
        return json.dumps([config, *numbers], sort_keys=True)

    def start(self) -> TrainingState:
        """The state before the first step."""
        drawn = self.rows.pairs.take(some_of(self.rows.train, _FIRST_ROWS))
        few = drawn.x.float() / self.scale
        wanted = None if drawn.y is None else drawn.y.float() / self.target_scale
        without_k = max(1, self.rows.train.shape[1] // _START_SHARE)
        aimed = self.config.k if self.config.l1_coefficient is None else without_k
        start = Start(self.num_features, aimed, self.config.seed, self.config.frozen_decoder)
        return initial_state(few, wanted, self.objective.selection, start)

    def export(self, state: TrainingState) -> SparseAutoencoder:
        """The autoencoder as it stands, in raw units."""
        controls = self._calibrated(state) if isinstance(self.objective.selection, BatchTopK) else state.controls
        return state.export(self.objective.selection, self.config.k, (self.scale, self.target_scale), controls)

    def _calibrated(self, state: TrainingState) -> Controls:
        weights = state.average or state.weights
        some = self.rows.train.index_select(0, some_of(self.rows.train, _CALIBRATED_ROWS)).float()
        x = some / self.scale - (weights["b_dec"] if state.tied else state.b_in)
        batch = Batch(torch.addmm(weights["b_enc"], x, weights["encoder"].T), weights, self.config.k, 1.0)
        found = replace(state.controls)
        self.objective.selection.select(batch, found)
        return found

    def steps(self, state: TrainingState, checkpoint: Path, progress: Progress) -> None:
        """Take every step that is left, logging and checkpointing on the way."""
        schedule, saved = self.schedule, time.monotonic()
        every = max(1, schedule.total // _LOGGED_STEPS)
        for drawn in self._batches(state):
            dead = state.silent_for(schedule.dead_after)
            outcome = self.step(state, drawn, dead)
            ended = state.step % schedule.per_epoch == 0
            figures = self._figures(state, outcome, len(dead)) if ended or state.step % every == 0 else None
            if figures is not None:
                held_out = self._held_out_fvu(state) if ended else math.nan
                state.history.append((*figures.values(), held_out))
            due = state.step % self.config.checkpoint_every == 0 or time.monotonic() - saved > _CHECKPOINT_S
            if due and state.step < schedule.total:
                save_checkpoint(checkpoint, state, self.recipe)
                saved = time.monotonic()
            progress(state.step, schedule.total, figures)

    def _batches(self, state: TrainingState) -> Iterator[Drawn]:
        """What is left to learn from, from the state's step on."""
        while state.step < self.schedule.total and not self._gave_up(state):
            epoch, first = divmod(state.step, self.schedule.per_epoch)
            yield from batches(self.rows.pairs, self.batch, self.config.seed, epoch, first)

    def _gave_up(self, state: TrainingState) -> bool:
        """Whether held-out FVU has not fallen for as many epochs as `early_stop` says."""
        patience = self.config.early_stop
        if patience is None or state.step % self.schedule.per_epoch:
            return False
        # While the features are still thinned out, FVU rises with every epoch: those do not count.
        ended = [row for row in state.history if not math.isnan(row[-1])]
        seen = [row[-1] for before, row in zip([None, *ended], ended) if self._is_sparse(row, before)]
        return len(seen) > patience and min(seen[-patience:]) > (1 - _IMPROVES) * min(seen[:-patience])

    def _is_sparse(self, logged: tuple[float, ...], before: tuple[float, ...] | None) -> bool:
        """Whether L0 is down at `k`; where no `k` is aimed at, whether it no longer falls from epoch to epoch."""
        step, l0 = (logged[list(HISTORY).index(name)] for name in ("step", "l0"))
        if self.config.l1_coefficient is not None:
            return before is not None and l0 >= _SETTLED * before[list(HISTORY).index("l0")]
        return self.schedule.k(int(step)) == self.config.k and l0 <= 1.1 * self.config.k

    def step(self, state: TrainingState, drawn: Drawn, dead: Int[Tensor, " d"]) -> Outcome:
        """One step on the rows drawn; `dead` are the features that have not fired for long."""
        x = drawn.x.float().div_(self.scale)
        y = x if drawn.y is None else drawn.y.float().div_(self.target_scale)
        k = self.schedule.k(state.step)
        outcome = self.objective(state, x, y, dead, k)
        self._update(state, outcome)
        self.objective.selection.steer(state.controls, outcome.l0, k, self.schedule.total)
        return outcome

    def _update(self, state: TrainingState, outcome: Outcome) -> None:
        """One step of Adam, the decoder's rows kept at unit norm, or as they are."""
        state.note(outcome.fired)
        decoder = state.weights["decoder"]
        if not state.decoder_frozen:
            _remove_parallel(outcome.gradients["decoder"], decoder)
        most = self.config.clip_norm
        excess = None if most is None else _excess(outcome.gradients, most / self.objective.variance)
        selection = self.objective.selection
        state.adam(outcome.gradients, self.schedule.learning_rate(state.step), excess, selection.paces)
        if not state.decoder_frozen:
            _restore_norms(decoder)
        selection.restore(state.weights)
        if self.config.ema is not None:
            state.take_average(self.config.ema)

    def _figures(self, state: TrainingState, outcome: Outcome, dead: int) -> dict[str, float]:
        if not math.isfinite(float(outcome.fvu)):
            raise BadInput(f"sae: the loss is no longer finite at step {state.step}; lower sae.learning_rate")
        return {
            "step": float(state.step),
            "epoch": state.step / self.schedule.per_epoch,
            "learning_rate": self.schedule.learning_rate(state.step - 1),
            "loss": float(outcome.fvu + outcome.extra),
            "fvu": float(outcome.fvu),
            "l0": float(outcome.l0),
            "dead": dead / self.num_features,
        }

    def _held_out_fvu(self, state: TrainingState) -> float:
        rows, target = self.rows.held_out, self.rows.held_out_target
        if not len(rows):
            return math.nan
        chosen = some_of(rows, _HELD_OUT_ROWS)
        wanted = None if target is None else target.index_select(0, chosen)
        return evaluate(self.export(state), rows.index_select(0, chosen), wanted).fvu


def _remove_parallel(gradient: Float[Tensor, "F D"], decoder: Float[Tensor, "F D"]) -> None:
    # along a unit row only its length would change, which the norm constraint undoes: Adam's moments must not see it
    along = torch.einsum("fd,fd->f", gradient, decoder).unsqueeze(1)
    gradient.addcmul_(decoder, along, value=-1)


def _restore_norms(decoder: Float[Tensor, "F D"]) -> None:
    decoder.div_(torch.linalg.vector_norm(decoder, dim=1, keepdim=True))


def _excess(gradients: Parameters, most: float) -> Float[Tensor, ""]:
    """How many times `most` the norm of all gradients together is, and at least 1."""
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients.values()])
    excess: Tensor = torch.linalg.vector_norm(norms) / most
    return excess.clamp_min(1.0)


def _moments(x: Float[Tensor, "T D"] | StoredRows) -> tuple[float, float]:
    """The scale that brings the mean squared norm to D, and the scaled rows' mean squared distance from their mean."""
    total = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    squares = torch.zeros_like(total)
    for start in range(0, len(x), 8192):
        wide = x[start : start + 8192].double()
        total += wide.sum(0)
        squares += wide.square().sum(0)
    second = squares / len(x)
    scale = math.sqrt(float(second.sum()) / x.shape[1]) or 1.0
    variance = float((second - (total / len(x)).square()).clamp_min(0).sum()) / scale**2
    return scale, variance or 1.0
