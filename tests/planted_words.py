"""Captions of the known-answer world, one row a word, with features planted on form and on the person's gender."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy import sparse

from core.data import scene_lexicon as lexicon
from core.data.arabic_surface import SurfaceWord, surface_words
from core.data.gender_concept import GENDER
from core.data.known_concepts import THE_CONCEPT
from core.data.scene_captions import CORNERS, Content, caption
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import RowGrouper
from tests.core.features.planted_world import Index, Table, no_model


@dataclass(frozen=True)
class Row:
    """A caption word: whose caption it stands in, and its surface form, if it has one."""

    female: bool
    language: str
    form: SurfaceWord | None


@dataclass(frozen=True)
class Words:
    """A world of captions.

    `planted` gives a feature's activation on a row; features beyond those are noise. `parted` writes every other Arabic
    caption in the other gender, so that form and referent part on the person's own words. `generic` writes two in three
    Arabic captions of women in the masculine, and tells nobody's gender in English. `labels` moves the labels.
    """

    images: int = 96
    features: int = 12
    parted: bool = False
    generic: bool = False
    planted: Mapping[int, Callable[[Row], float]] = field(default_factory=dict)
    labels: Callable[[np.ndarray], np.ndarray] = lambda female: female
    frozen: bool = False
    seed: int = 0


def open_words(world: Words) -> AnalysisInputs:
    """What an analysis is given, of one layer."""
    female = np.arange(world.images) % 2 == 0
    samples = _samples(world, female)
    tokens, rows = _tokens(samples, female)
    views = [_layer(world, tokens, samples, rows, planted) for planted in (world.planted, {})]
    return AnalysisInputs(
        samples=samples,
        images=Path("images"),
        truth=None,
        layers=(3,),
        languages=("en", "ar"),
        open_layer=lambda layer: views[0],
        open_model=no_model,
        instructions={"en": "", "ar": ""},
        concept=THE_CONCEPT,
        open_frozen=(lambda layer: views[1]) if world.frozen else None,
    )


def _samples(world: Words, female: np.ndarray) -> pl.DataFrame:
    rows = []
    random = np.random.default_rng(world.seed)
    labels = np.where(world.labels(female), "female", "male")
    for number in range(world.images):
        pair = number // 2
        profession = lexicon.PROFESSIONS[pair % 7]
        thing, colour = lexicon.OBJECTS[random.integers(8) if number % 2 == 0 else rows[-1]["thing"]], "purple"
        place = lexicon.PLACES[pair * 3 % 8]
        content = Content(profession, thing, colour, place, lexicon.MOODS[pair % 3], CORNERS[pair % 4])
        gender = "female" if female[number] else "male"
        is_parted = (world.parted and pair % 2 == 1) or (world.generic and gender == "female" and pair % 3 > 0)
        unsaid = world.generic and is_parted
        written = ("male" if gender == "female" else "female") if is_parted else gender
        rows.append(
            {
                "sample_id": f"s{number:03d}",
                "image_id": f"i{number:03d}",
                "image": f"images/{number}.png",
                "caption_en": "a person at work" if unsaid else caption(content, gender, "en").text,
                "caption_ar": caption(content, written, "ar").text,
                "gender_en": "neutral" if unsaid else str(labels[number]),
                "gender_ar": str(labels[number]) if not is_parted else written,
                "split": ("select", "test")[pair // 2 % 2],
                "twin_id": f"s{number + 1 - 2 * (number % 2):03d}",
                "profession": profession.name,
                "thing": lexicon.OBJECTS.index(thing),
            }
        )
    return pl.DataFrame(rows).drop("thing")


def _tokens(samples: pl.DataFrame, female: np.ndarray) -> tuple[pl.DataFrame, list[Row | None]]:
    tokens: list[dict[str, Any]] = []
    known: list[Row | None] = []
    for language in ("en", "ar"):
        for number, sample in enumerate(samples.iter_rows(named=True)):
            base = {"sample_id": sample["sample_id"], "image_id": sample["image_id"], "language": language}
            place = {"segment": "prompt", "position": 1, "char_start": None, "char_end": None, "special": True}
            tokens.append({**base, **place, "token_id": 1, "token": "[go]"})
            known.append(None)
            text = sample[f"caption_{language}"]
            forms = {word.start: word for word in surface_words(text)} if language == "ar" else {}
            for position, match in enumerate(re.finditer(r"\w+", text), start=2):
                span = {"char_start": match.start(), "char_end": match.end(), "special": False}
                place = {"segment": "caption", "position": position, **span}
                tokens.append({**base, **place, "token_id": 10 + position, "token": match[0]})
                known.append(Row(bool(female[number]), language, forms.get(match.start())))
    return pl.DataFrame(tokens, infer_schema_length=None).with_row_index("index"), known


def _layer(
    world: Words,
    tokens: pl.DataFrame,
    samples: pl.DataFrame,
    rows: list[Row | None],
    planted: Mapping[int, Callable[[Row], float]],
) -> LayerView:
    random = np.random.default_rng([world.seed, 5, len(planted)])
    shape = (tokens.height, world.features)
    codes = random.gamma(2, 0.5, shape) * (random.random(shape) < 0.5)
    for feature, of_row in planted.items():
        told = np.array([0.0 if row is None else of_row(row) for row in rows])
        codes[:, feature] = told * random.uniform(0.8, 1.2, tokens.height)
    sae: Any = SimpleNamespace(W_dec=torch.eye(world.features), d_model=world.features, num_features=world.features)
    stream: Any = Table(tokens, codes.astype(np.float32))
    index: Any = Index(sparse.csr_array(codes.astype(np.float32)))
    return LayerView(3, stream, sae, index, samples, ("en", "ar"), GENDER, RowGrouper(samples, GENDER))
