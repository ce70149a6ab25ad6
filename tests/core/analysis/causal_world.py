"""A tiny vision-language model with a circuit planted in it: what the picture shows, the gendered words follow.

Women's pictures are bright, men's dark. A hook behind block 1 reads brightness off the image rows; it adds ±`SEEN`
to the image rows of the box (each cell by its own brightness) and ±`SAID` to the last prompt row and the caption's.
`SAID` is what the head reads woman − man from. The autoencoders have `SAID`, `SEEN` and the rest of an orthonormal
basis as features, either sign apart, so that features 0 and 1 are planted and the others are controls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch import Tensor

from core.activations.capture import capture_shard
from core.activations.requests import CaptureJob
from core.activations.table import LayerTable
from core.analysis.result import AnalysisInputs, LayerInputs
from core.features.index import FeatureIndex, build_index
from core.lm.hooks import edit
from core.lm.loading import LoadedModel, load_model
from core.lm.patched import build_batch, clean_run
from core.lm.prompts import CaptionRequest, encode_sample
from core.sae.architectures import TopKSAE
from core.study.model import CaptureConfig, IndexConfig

LAYER = 2
STRENGTH = 40.0
SIDE, BOX = 4, (0, 1, 4, 5)  # the upper left quarter
PIXELS = 56
INSTRUCTIONS = {"en": "Describe the image in English.", "ar": "Describe the image in English."}
CAPTIONS = {
    "en": {"female": "In a park, a woman is singing.", "male": "In a park, a man is singing."},
    "ar": {"female": "في حديقة امرأة تغني", "male": "في حديقة رجل يغني"},
}
SAID, SEEN, MALE = 0, 1, 32
"""Features: what words follow, what the box shows, and where the male sides of the features begin."""


def make_samples(folder: Path, pairs: dict[str, int]) -> pl.DataFrame:
    """Pictures of twins below `folder`/images, and their rows."""
    (folder / "images").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for split, count in pairs.items():
        for number in range(count):
            names = {gender: f"{split}-{number:02d}-{gender}" for gender in ("female", "male")}
            for gender, name in names.items():
                _paint(folder / "images" / f"{name}.png", gender, number)
                other = "male" if gender == "female" else "female"
                rows.append(_row(name, names[other], split, gender))
    return pl.DataFrame(rows).sort("image_id")


def _row(name: str, twin: str, split: str, gender: str) -> dict[str, Any]:
    return {
        "sample_id": name,
        "image_id": name,
        "image": f"images/{name}.png",
        "caption_en": CAPTIONS["en"][gender],
        "caption_ar": CAPTIONS["ar"][gender],
        "gender_en": gender,
        "gender_ar": gender,
        "split": split,
        "twin_id": twin,
        "visible_gender": {"female": "woman", "male": "man"}[gender],
        "person_box": [0, 0, PIXELS // 2, PIXELS // 2],
    }


def _paint(path: Path, gender: str, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(-20, 20, (PIXELS, PIXELS, 3))
    Image.fromarray((noise + (210 if gender == "female" else 45)).astype(np.uint8)).save(path)


@dataclass(frozen=True)
class CausalWorld:
    """The planted model and the inputs that analyses read."""

    folder: Path
    loaded: LoadedModel
    samples: pl.DataFrame
    basis: Tensor

    @cached_property
    def inputs(self) -> AnalysisInputs:
        shard = self.folder / "shard"
        config = CaptureConfig(layers=(LAYER,))
        capture_shard(self.loaded, CaptureJob(self.samples, self.folder, config, INSTRUCTIONS), shard)
        table = LayerTable.open([shard], LAYER)
        sae = signed_basis(self.basis)
        build_index(sae, table, self.samples, IndexConfig(), self.folder / "index")
        opened = LayerInputs(LAYER, table, sae, FeatureIndex.open(self.folder / "index"))
        return AnalysisInputs(
            samples=self.samples,
            images=self.folder,
            truth=None,
            layers=(LAYER,),
            languages=("en", "ar"),
            open_layer={LAYER: opened}.__getitem__,
            open_model=lambda: self.loaded,
            instructions=INSTRUCTIONS,
        )


def signed_basis(basis: Tensor) -> TopKSAE:
    """An autoencoder that is exact: every basis vector and its opposite are features, half of which fire."""
    d_model = basis.shape[0]
    sae = TopKSAE(d_model, 2 * d_model, d_model)
    sae.requires_grad_(False)
    sae.W_dec.copy_(torch.cat([basis, -basis]))
    sae.W_enc.copy_(sae.W_dec.T)
    return sae


@contextmanager
def causal_world(model: Path, folder: Path, pairs: dict[str, int]) -> Iterator[CausalWorld]:
    """Open the planted world; the circuit is taken out again when the block ends."""
    samples = make_samples(folder, pairs)
    opened = load_model(model, "float32", "cpu")
    generator = torch.Generator().manual_seed(5)
    basis = torch.linalg.qr(torch.randn(32, 32, generator=generator)).Q.T.contiguous()
    loaded = _with_head(opened, basis[SAID], generator)
    brightness = _Brightness.find(loaded, folder, samples)
    circuit = _Circuit(basis, brightness)
    with edit(loaded.blocks, 1, circuit):
        yield CausalWorld(folder, loaded, samples, basis)


def _with_head(opened: LoadedModel, said: Tensor, generator: torch.Generator) -> LoadedModel:
    """A head of its own that is blind to `said`, but for the words of either gender."""
    weight = torch.randn(opened.unembedding.shape, generator=generator) * 0.3
    weight -= torch.outer(weight @ said, said)
    first = {text: opened.tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in _WORDS}
    for text, sign in _WORDS.items():
        weight[first[text]] += sign * said
    head = torch.nn.Linear(32, weight.shape[0], bias=False).requires_grad_(False)
    head.weight.copy_(weight)
    model: Any = opened.model
    model.set_output_embeddings(head)
    return replace(opened, unembedding=head.weight)


_WORDS = {" woman": 1, " man": -1, " امرأة": 1, " رجل": -1}


@dataclass(frozen=True)
class _Brightness:
    """Brightness of a soft token behind block 1: about +1 in women's pictures, −1 in men's."""

    direction: Tensor
    middle: float

    @classmethod
    def find(cls, loaded: LoadedModel, folder: Path, samples: pl.DataFrame) -> "_Brightness":
        means = {}
        for gender in ("female", "male"):
            row = samples.filter(pl.col("gender_en") == gender).row(0, named=True)
            request = CaptionRequest("a", "a", "en", "", INSTRUCTIONS["en"], folder / row["image"])
            batch = build_batch(loaded, [encode_sample(loaded, request)])
            stream = clean_run(loaded, batch, [1])[1]
            means[gender] = stream[batch.input_ids == loaded.image_token_id].mean(dim=0)
        difference = means["female"] - means["male"]
        direction = 2 * difference / difference.norm() ** 2
        return cls(direction, float((means["female"] + means["male"]) / 2 @ direction))

    def __call__(self, soft_tokens: Tensor) -> Tensor:
        return (soft_tokens @ self.direction - self.middle).clamp(-1.5, 1.5)


class _Circuit:
    """The hook; it remembers what the prompt showed while a caption is generated token by token."""

    def __init__(self, basis: Tensor, brightness: _Brightness) -> None:
        self._basis, self._brightness = basis, brightness
        self._shown: Tensor | None = None

    def __call__(self, stream: Tensor) -> Tensor:
        changed = stream.clone()
        rows = slice(0, None)
        if stream.shape[1] > 1:
            start = IMAGE_START
            cells = self._brightness(stream[:, start : start + SIDE**2])
            box = torch.tensor(BOX)
            changed[:, start + box] += STRENGTH * cells[:, box, None] * self._basis[SEEN]
            self._shown = torch.sign(cells.mean(dim=1))
            rows = slice(start + SIDE**2 + 2, None)
        assert self._shown is not None
        changed[:, rows] += STRENGTH * self._shown[:, None, None] * self._basis[SAID]
        return changed


IMAGE_START = 6
"""Where the template puts the image's first soft token; a test holds it to the tokens."""
