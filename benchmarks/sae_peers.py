"""Train one autoencoder with one library and print what it cost, as JSON: a part of benchmarks/sae_training.py.

    python benchmarks/sae_peers.py LIBRARY ROWS.safetensors --features 4608 --k 32 --batch 4096 --steps 60

LIBRARY is saeflow, saelens, sparsify or dictionary_learning; the last three are imported from the environment that this
runs in, and need no saeflow there. Every library sees the same batches in the same order, with its own initialisation,
loss for dead features, constraints and Adam, at one learning rate. Between two steps one dense encoder product of the
same shape is timed: a step's cost is told in those, which the machine's load does not move.
"""

import argparse
import json
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

Coder = Callable[[Tensor], tuple[Tensor, Tensor]]  # rows in; reconstructions and dense features out


@dataclass
class Given:
    """What is trained on what."""

    architecture: str
    features: int
    k: int
    batch: int
    steps: int
    device: str
    train: Tensor
    held_out: Tensor
    lr: float = 0.0

    def batches(self) -> list[Tensor]:
        """Row numbers of each step: every epoch a new order."""
        per_epoch, found = len(self.train) // self.batch, []
        for step in range(self.steps):
            if step % per_epoch == 0:
                order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(step))
            place = step % per_epoch * self.batch
            found.append(order[place : place + self.batch].to(self.train.device))
        return found


@dataclass
class Clock:
    """Times steps, and a dense product beside each."""

    given: Given
    alone: bool = False
    steps: list[float] = field(default_factory=list)
    products: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.alone:
            return
        width = self.given.train.shape[1]
        self._x = self.given.train[: self.given.batch].float()
        self._w = torch.randn(self.given.features, width, device=self._x.device)

    def time(self, work: Callable[[], Any]) -> None:
        """Time one step, and one product after it."""
        self.steps.append(self._measure(work))
        if not self.alone:
            self.products.append(self._measure(lambda: self._x @ self._w.T))

    def _measure(self, work: Callable[[], Any]) -> float:
        self._settle()
        began = time.perf_counter()
        work()
        self._settle()
        return time.perf_counter() - began

    def _settle(self) -> None:
        if self.given.device == "cuda":
            torch.cuda.synchronize()


def saeflow(given: Given, clock: Clock) -> Coder:
    """Ours: the trainer's own steps."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from core.sae.rows import Rows
    from core.sae.training import Run
    from core.study.sae import SAEConfig

    per_epoch = len(given.train) // given.batch
    config = SAEConfig(
        architecture=given.architecture,  # type: ignore[arg-type]
        expansion=given.features // given.train.shape[1],
        k=given.k,
        epochs=math.ceil(given.steps / per_epoch),
        batch_size=given.batch,
        learning_rate=given.lr,
    )
    with torch.no_grad():
        run = Run.prepare(Rows(given.train, given.held_out, {}), config)
        state = run.start()
        for rows in given.batches():
            dead = (state.step - state.last_fired >= per_epoch).nonzero().squeeze(1)
            clock.time(lambda rows=rows, dead=dead: run.step(state, rows, dead))
        sae = run.export(state)

    def code(x: Tensor) -> tuple[Tensor, Tensor]:
        found = sae.encode(x)
        dense = torch.zeros(len(x), given.features, device=x.device).scatter_add_(1, found.indices, found.values)
        return sae.decode(found), dense

    return code


def saelens(given: Given, clock: Clock) -> Coder:
    """SAELens' trainer and its training classes."""
    from sae_lens import saes
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    width, samples = given.train.shape[1], given.steps * given.batch
    shape = {"d_in": width, "d_sae": given.features, "device": given.device}
    made: dict[str, Callable[[], Any]] = {
        "topk": lambda: saes.TopKTrainingSAE(saes.TopKTrainingSAEConfig(k=given.k, **shape)),
        "batchtopk": lambda: saes.BatchTopKTrainingSAE(saes.BatchTopKTrainingSAEConfig(k=given.k, **shape)),
        "jumprelu": lambda: saes.JumpReLUTrainingSAE(saes.JumpReLUTrainingSAEConfig(**shape)),
    }
    sae = made[given.architecture]()
    with torch.no_grad():
        sae.b_dec.copy_(given.train.float().mean(0))  # its zeros leave nearly all features dead on rows with a mean
    config = SAETrainerConfig(
        total_training_samples=samples,
        train_batch_size_samples=given.batch,
        lr=given.lr,
        lr_end=given.lr / 10,  # their own runner's default
        lr_warm_up_steps=max(1, given.steps // 20),
        lr_decay_steps=given.steps // 5,
        device=given.device,
        dead_feature_window=max(1, len(given.train) // given.batch),
        logger=LoggingConfig(log_to_wandb=False),
    )
    trainer = SAETrainer(cfg=config, sae=sae, data_provider=iter(()))  # type: ignore[arg-type]
    for rows in given.batches():
        x = given.train[rows].float()

        def step(x: Tensor = x) -> None:
            trainer._train_step(sae=sae, sae_in=trainer.activation_scaler(x))
            trainer.n_training_steps += 1

        clock.time(step)

    def code(x: Tensor) -> tuple[Tensor, Tensor]:
        features = sae.encode(x)
        return sae.decode(features), features.to_dense() if features.is_sparse else features

    return code


def sparsify(given: Given, clock: Clock) -> Coder:
    """EleutherAI/sparsify's sparse coder, in the steps of its trainer."""
    os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "0" if given.device == "cuda" else "1")
    from sparsify import SparseCoder, SparseCoderConfig

    per_epoch = len(given.train) // given.batch
    sae = SparseCoder(given.train.shape[1], SparseCoderConfig(num_latents=given.features, k=given.k), given.device)
    with torch.no_grad():
        sae.b_dec.copy_(given.train.float().mean(0))
    adam = torch.optim.Adam(sae.parameters(), lr=given.lr)
    warm, decay = max(1, given.steps // 20), max(1, given.steps // 5)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min(1.0, (step + 1) / warm, (given.steps - step) / decay)
    )
    silent = torch.zeros(given.features, dtype=torch.int64, device=given.device)
    for rows in given.batches():
        x = given.train[rows].float()

        def step(x: Tensor = x) -> None:
            sae.set_decoder_norm_to_unit_norm()
            out = sae(x, dead_mask=silent >= per_epoch)
            (out.fvu + out.auxk_loss / 32).backward()
            sae.remove_gradient_parallel_to_decoder_directions()
            adam.step()
            adam.zero_grad()
            schedule.step()
            silent.add_(1)
            silent[out.latent_indices.flatten()] = 0

        clock.time(step)

    def code(x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices, _ = sae.encode(x)
        dense = torch.zeros(len(x), given.features, device=x.device).scatter_(1, indices, values)
        return sae.decode(values, indices), dense

    return code


def dictionary_learning(given: Given, clock: Clock) -> Coder:
    """dictionary_learning's trainers."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    kind: Any = {"topk": TopKTrainer, "batchtopk": BatchTopKTrainer}[given.architecture]
    trainer = kind(
        steps=given.steps,
        activation_dim=given.train.shape[1],
        dict_size=given.features,
        k=given.k,
        layer=0,
        lm_name="rows",
        lr=given.lr,
        warmup_steps=max(1, given.steps // 20),
        decay_start=given.steps - given.steps // 5,
        seed=0,
        device=given.device,
    )
    trainer.dead_feature_threshold = len(given.train) // given.batch * given.batch
    for number, rows in enumerate(given.batches()):
        x = given.train[rows].float()
        clock.time(lambda x=x, number=number: trainer.update(number, x))

    def code(x: Tensor) -> tuple[Tensor, Tensor]:
        features = trainer.ae.encode(x, use_threshold=False)
        return trainer.ae.decode(features), features

    return code


LIBRARIES = {one.__name__: one for one in (saeflow, saelens, sparsify, dictionary_learning)}


@torch.no_grad()
def measure(code: Coder, given: Given) -> dict[str, float]:
    """Held-out FVU and L0, and the share of features that are silent on every training row."""
    x = given.held_out.float()
    rebuilt, features = zip(*(code(part) for part in x.split(1024)), strict=True)
    residual = (x - torch.cat(rebuilt)).square().sum()
    alive = torch.zeros(given.features, dtype=torch.bool, device=x.device)
    for part in given.train.split(1024):
        alive |= (code(part.float())[1] > 0).any(0)
    l0 = sum(float((part > 0).sum()) for part in features) / len(x)
    return {
        "fvu": float(residual / (x - x.mean(0)).square().sum()),
        "l0": l0,
        "dead": 1 - float(alive.float().mean()),
    }


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--architecture", default="topk")
    parser.add_argument("--features", type=int, required=True)
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, help="Adam's step; default: 2e-4 / sqrt(F / 2^14)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--alone", action="store_true", help="time no products and measure nothing: for peak memory")
    asked = parser.parse_args()
    torch.manual_seed(0)
    rows = {name: tensor.to(asked.device) for name, tensor in load_file(asked.rows).items()}
    lr = asked.lr or 2e-4 / math.sqrt(asked.features / 2**14)
    shape = (asked.architecture, asked.features, asked.k, asked.batch, asked.steps, asked.device)
    given = Given(*shape, rows["train"], rows["held_out"], lr)
    clock = Clock(given, asked.alone)
    before = _peak(asked.device)
    code = LIBRARIES[asked.library](given, clock)
    later = slice(min(5, asked.steps // 2), None)  # the first steps warm caches up
    step, product = statistics.median(clock.steps[later]), statistics.median(clock.products[later] or [float("nan")])
    figures = {"step_s": step, "product_s": product, "products": step / product, "rows_s": given.batch / step}
    figures |= {"peak_mb": _peak(asked.device), "before_mb": before}
    figures |= {} if asked.alone else measure(code, given)
    print(json.dumps(figures))


def _peak(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    main()
