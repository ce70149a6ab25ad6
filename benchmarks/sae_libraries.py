"""The trainers that benchmarks/sae_peers.py compares: each library's own, on the same batches, every step timed."""

import importlib.util
import math
import os
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Coder = Callable[[Tensor], tuple[Tensor, Tensor]]  # rows in; reconstructions and dense features out
Trained = tuple[Coder, Tensor]  # and the decoder [F, D]


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
    seed: int = 0

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

    def finish(self) -> None:
        """Nothing: every step was waited for."""

    def _measure(self, work: Callable[[], Any]) -> float:
        self._settle()
        began = time.perf_counter()
        work()
        self._settle()
        return time.perf_counter() - began

    def _settle(self) -> None:
        if self.given.device == "cuda":
            torch.cuda.synchronize()


def saeflow(given: Given, clock: Clock) -> Trained:
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
        seed=given.seed,
    )
    with torch.no_grad():
        run = Run.prepare(Rows(given.train, given.held_out, {}), config)
        state = run.start()
        for rows in given.batches():
            clock.time(lambda rows=rows: run.step(state, run.rows.pairs.take(rows), state.silent_for(per_epoch)))
        sae = run.export(state)

    def code(x: Tensor) -> tuple[Tensor, Tensor]:
        found = sae.encode(x)
        dense = torch.zeros(len(x), given.features, device=x.device).scatter_add_(1, found.indices, found.values)
        return sae.decode(found), dense

    return code, sae.W_dec


def plain_torch(given: Given, clock: Clock) -> Trained:
    """The step that one writes in an hour: dense encoder, torch.topk, sparse decoder, autograd, fused Adam."""
    width, device = given.train.shape[1], given.device
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(given.features, width, generator=generator), dim=1).to(device)
    mean = given.train[:16_384].float().mean(0)
    scale = given.train[:16_384].float().square().mean().sqrt()
    weights = {"encoder": decoder.T.clone(), "decoder": decoder, "b_enc": torch.zeros(given.features, device=device)}
    weights["b_dec"] = mean / scale
    made = {name: torch.nn.Parameter(tensor) for name, tensor in weights.items()}
    adam = torch.optim.Adam(made.values(), lr=given.lr, fused=True)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        values, chosen = torch.topk((x - made["b_dec"]) @ made["encoder"] + made["b_enc"], given.k, sorted=False)
        return values.relu(), chosen

    def decode(values: Tensor, chosen: Tensor) -> Tensor:
        picked = torch.nn.functional.embedding_bag(chosen, made["decoder"], per_sample_weights=values, mode="sum")
        return picked + made["b_dec"]

    for rows in given.batches():
        x = given.train[rows].float() / scale

        def step(x: Tensor = x) -> None:
            (decode(*encode(x)) - x).square().sum(1).mean().backward()
            adam.step()
            adam.zero_grad()
            with torch.no_grad():
                made["decoder"].div_(made["decoder"].norm(dim=1, keepdim=True))

        clock.time(step)

    @torch.no_grad()
    def code(x: Tensor) -> tuple[Tensor, Tensor]:
        values, chosen = encode(x / scale)
        dense = torch.zeros(len(x), given.features, device=x.device).scatter_(1, chosen, values)
        return decode(values, chosen) * scale, dense

    return code, made["decoder"].detach()


def saelens(given: Given, clock: Clock) -> Trained:
    """SAELens' trainer and its training classes."""
    from sae_lens import saes
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    width, samples = given.train.shape[1], given.steps * given.batch
    shape = {"d_in": width, "d_sae": given.features, "device": given.device}
    made: dict[str, Callable[[], Any]] = {
        "topk": lambda: saes.TopKTrainingSAE(saes.TopKTrainingSAEConfig(k=given.k, **shape)),
        "batchtopk": lambda: saes.BatchTopKTrainingSAE(saes.BatchTopKTrainingSAEConfig(k=given.k, **shape)),
        "jumprelu": lambda: saes.JumpReLUTrainingSAE(
            saes.JumpReLUTrainingSAEConfig(jumprelu_sparsity_loss_mode="quadratic", target_l0=given.k, **shape)
        ),
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

    return code, sae.W_dec


def sparsify(given: Given, clock: Clock) -> Trained:
    """EleutherAI/sparsify's sparse coder, in the steps of its trainer."""
    os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "0" if given.device == "cuda" else "1")
    _without_trainer("sparsify")
    from sparsify.config import SparseCoderConfig
    from sparsify.sparse_coder import SparseCoder

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

    return code, sae.W_dec


def _without_trainer(name: str) -> None:
    """Make a package importable without its `__init__`, which loads a trainer that needs `datasets`."""
    if name in sys.modules:
        return
    found = importlib.util.find_spec(name)
    if found is None or found.submodule_search_locations is None:
        raise ImportError(f"{name} is not installed")
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = list(found.submodule_search_locations)


def dictionary_learning(given: Given, clock: Clock) -> Trained:
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

    return code, trainer.ae.decoder.weight.T


LIBRARIES = {one.__name__: one for one in (saeflow, plain_torch, saelens, sparsify, dictionary_learning)}
