"""A tiny vision-language model with a circuit planted in it: what the picture shows, the gendered words follow.

Women's pictures are bright, men's dark. A hook behind block 1 reads brightness off the image rows; it sets `SEEN` to
± in the image rows of the box (each cell by its own brightness) and `SAID` to ± in all rows behind the image. `SAID`
is what the head reads woman − man from. Five `DECOYS` are set like `SAID`, by the picture but not by its brightness,
and the head is blind to them: they are what `SAID` can be matched with. Five more, `ELSEWHERE`, are set like `SEEN` but
in four cells outside the box each. All other directions get noise that the picture
alone decides. Block 2 adds nothing, so that its stream is what the hook made.

The autoencoder has `SAID`, `SEEN` and the rest of an orthonormal
basis as features, either sign apart: the first two are planted, the others are controls.
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

from core.data.gender_concept import GENDER
from core.features.build import build_index
from core.features.index import FeatureIndex
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import RowGrouper
from core.lm.hooks import edit
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.patched import build_batch, clean_run
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample
from core.sae.architectures import SparseAutoencoder
from core.study.model import IndexConfig
from tests.core.features.planted_world import Table

LAYER = 2
STRENGTH, NOISE = 40.0, 8.0
SIDE, BOX = 4, (0, 1, 4, 5)  # the upper left quarter
_OUTSIDE = [cell for cell in range(SIDE**2) if cell not in BOX]
PIXELS = 56
INSTRUCTIONS = {"en": "Describe the image in English.", "ar": "Describe the image in English."}
CAPTIONS = {
    "en": {"female": "In a park, a woman is singing.", "male": "In a park, a man is singing."},
    "ar": {"female": "في حديقة امرأة تغني", "male": "في حديقة رجل يغني"},
}
SAID, SEEN, MALE = 0, 1, 32
DECOYS, ELSEWHERE = slice(2, 7), slice(7, 12)
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
        table: Any = read_whole_sequences(self.loaded, self.folder, self.samples)
        sae = signed_basis(self.basis)
        build_index(sae, table, self.samples, IndexConfig(), self.folder / "index")
        index, grouper = FeatureIndex.open(self.folder / "index"), RowGrouper(self.samples, GENDER)
        opened = LayerView(LAYER, table, sae, index, self.samples, ("en", "ar"), GENDER, grouper)
        return AnalysisInputs(
            samples=self.samples,
            images=self.folder,
            truth=None,
            layers=(LAYER,),
            languages=("en", "ar"),
            open_layer={LAYER: opened}.__getitem__,
            open_model=lambda: self.loaded,
            instructions=INSTRUCTIONS,
            concept=GENDER,
        )


def read_whole_sequences(loaded: LoadedModel, folder: Path, samples: pl.DataFrame) -> Table:
    """The layer's rows as capture keeps them, from whole sequences: the circuit would miss a shared prefix."""
    frames, streams = [], []
    for number, language in enumerate(("en", "ar")):
        for row in samples.iter_rows(named=True):
            fields = (row["sample_id"], row["image_id"], language, row[f"caption_{language}"])
            sample = encode_sample(loaded, CaptionRequest(*fields, INSTRUCTIONS[language], folder / row["image"]))
            stream = clean_run(loaded, build_batch(loaded, [sample]), [LAYER])[LAYER][0]
            last = sample.prefix_length - 1
            kept = [i for i, special in enumerate(sample.special) if not special or i == last]
            kept = [i for i in kept if number == 0 or sample.segments[i] != "image"]
            frames.append(pl.DataFrame([_token_row(sample, index) for index in kept], infer_schema_length=None))
            streams.append(stream[kept].numpy())
    tokens = pl.concat(frames, how="vertical_relaxed")
    return Table(tokens, np.concatenate(streams))


def _token_row(sample: EncodedSample, index: int) -> dict[str, Any]:
    span = sample.spans[index] or (None, None)
    return {
        "sample_id": sample.sample_id,
        "image_id": sample.image_id,
        "language": None if sample.segments[index] == "image" else sample.language,
        "segment": sample.segments[index],
        "position": index,
        "token_id": sample.ids[index],
        "token": str(sample.ids[index]),
        "char_start": span[0],
        "char_end": span[1],
        "special": sample.special[index],
    }


def signed_basis(basis: Tensor) -> SparseAutoencoder:
    """An autoencoder that is exact: every basis vector and its opposite are features, half of which fire."""
    d_model = basis.shape[0]
    sae = SparseAutoencoder(d_model, 2 * d_model, d_model)
    sae.requires_grad_(False)
    sae.W_dec.copy_(torch.cat([basis, -basis]))
    sae.W_enc.copy_(sae.W_dec.T)
    sae.b_enc.fill_(-1e-4)  # rounding is no activation
    return sae


@contextmanager
def causal_world(model: Path, folder: Path, pairs: dict[str, int]) -> Iterator[CausalWorld]:
    """Open the planted world; the circuit is taken out again when the block ends."""
    samples = make_samples(folder, pairs)
    opened = load_model(model, "float32", "cpu")
    generator = torch.Generator().manual_seed(5)
    basis = torch.linalg.qr(torch.randn(32, 32, generator=generator)).Q.T.contiguous()
    loaded = _with_head(opened, basis, generator)
    for norm in (loaded.blocks[LAYER].post_attention_layernorm, loaded.blocks[LAYER].post_feedforward_layernorm):
        norm.weight.fill_(-1)  # Gemma's norm multiplies by 1 + weight: the block adds nothing
    brightness = _Brightness.find(loaded, folder, samples)
    circuit = _Circuit(basis, brightness)
    with edit(loaded.blocks, 1, circuit):
        yield CausalWorld(folder, loaded, samples, basis)


@torch.no_grad()
def _with_head(opened: LoadedModel, basis: Tensor, generator: torch.Generator) -> LoadedModel:
    """A head of its own that is blind to the decoys, and to `SAID` but for the words of either gender."""
    weight = torch.randn(opened.unembedding.shape, generator=generator) * 0.3
    said, blind = basis[SAID], torch.cat([basis[SAID][None], basis[DECOYS]])
    weight -= weight @ blind.T @ blind
    first = {text: opened.tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in _WORDS}
    for text, sign in _WORDS.items():
        weight[first[text]] += sign * said
    text_model: Any = opened.text_model
    # Read, the words of a pair are one and the same: only the picture tells the genders apart.
    embeddings = text_model.get_input_embeddings().weight
    for female, male in ((" woman", " man"), ("امرأة", "رجل")):
        embeddings[first[male]] = embeddings[first[female]]
    head = torch.nn.Linear(32, weight.shape[0], bias=False).requires_grad_(False)
    head.weight.copy_(weight)
    model: Any = opened.model
    model.set_output_embeddings(head)
    return replace(opened, unembedding=head.weight)


_WORDS = {" woman": 1, " man": -1, "امرأة": 1, "رجل": -1}


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
        set_here = self._basis[: ELSEWHERE.stop]
        changed = stream - (stream @ set_here.T) @ set_here
        behind = slice(0, None)
        if stream.shape[1] > 1:
            image = slice(IMAGE_START, IMAGE_START + SIDE**2)
            cells = self._brightness(stream[:, image])
            box = torch.tensor(BOX)
            changed[:, IMAGE_START + box] += STRENGTH * cells[:, box, None] * self._basis[SEEN]
            # A hash of the picture: it differs between twins as between any two.
            hashed = torch.sin(40 * stream[:, image].mean(dim=1) @ self._basis.T)
            noise = NOISE * hashed[:, ELSEWHERE.stop :] @ self._basis[ELSEWHERE.stop :]
            changed[:, image] += noise[:, None]
            for number, index in enumerate(range(ELSEWHERE.start, ELSEWHERE.stop)):
                at = IMAGE_START + torch.tensor([_OUTSIDE[(2 * number + step) % len(_OUTSIDE)] for step in range(4)])
                changed[:, at] += STRENGTH * torch.sign(hashed[:, index])[:, None, None] * self._basis[index]
            decoys = STRENGTH * torch.sign(hashed[:, DECOYS]) @ self._basis[DECOYS]
            self._shown = torch.sign(cells.mean(dim=1))[:, None] * STRENGTH * self._basis[SAID] + noise + decoys
            behind = slice(IMAGE_START + SIDE**2, None)
        assert self._shown is not None
        changed[:, behind] += self._shown[:, None]
        return changed


IMAGE_START = 6
"""Where the template puts the image's first soft token; a test holds it to the tokens."""
