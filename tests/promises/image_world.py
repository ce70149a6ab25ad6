"""Image rows of planted features, no model: two features that look at the person, others that look anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from PIL import Image
from scipy import sparse

from core.data.gender_concept import GENDER
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView, Ranked
from core.features.profile import SEGMENTS, Profile
from core.features.ranking import Ranking
from tests.core.features.planted_world import Index, Table

SIDE, BOX, CORNER, START = 4, 0, 15, 6
FEATURES = 24
CHOSEN, ASSOCIATED, UNSUPPORTED, DENSE = (0, 1), (2, 3), (4, 5), (6, 7)
FREE = tuple(range(8, FEATURES))
"""Features that may be drawn: supported, without an association, and as active as the chosen ones."""
SPLITS = {"train": 8, "select": 8, "test": 24}


@dataclass(frozen=True)
class Look:
    """Where features look: `chosen` on test images, at `elsewhere` on all others; free ones at random cells."""

    chosen: int = BOX
    elsewhere: int = CORNER
    associated: int = BOX
    seed: int = 0


def make_samples() -> pl.DataFrame:
    """Twins beside each other, a quarter of every picture a person."""
    rows = []
    for split, count in SPLITS.items():
        for number in range(count):
            name, twin = (f"{split}-{one:02d}" for one in (number, number ^ 1))
            gender = ("female", "male")[number % 2]
            labels = {"gender_en": gender, "gender_ar": gender, "split": split, "twin_id": twin}
            rows.append({"sample_id": name, "image_id": name, "image": "a.png", **labels, "person_box": [0, 0, 14, 14]})
    return pl.DataFrame(rows)


def make_codes(samples: pl.DataFrame, look: Look) -> np.ndarray:
    """Activations [images, cells, F]: each feature fires on one cell of every image."""
    random = np.random.default_rng(look.seed)
    codes = np.zeros((samples.height, SIDE**2, FEATURES), dtype=np.float32)
    images = np.arange(samples.height)
    test = (samples["split"] == "test").to_numpy()
    for feature in range(FEATURES):
        cells = random.integers(SIDE**2, size=images.size)
        if feature in CHOSEN:
            cells = np.where(test, look.chosen, look.elsewhere)
        if feature in ASSOCIATED:
            cells = np.full(images.size, look.associated)
        codes[images, cells, feature] = 1 + random.random(images.size)
    return codes


def make_tokens(samples: pl.DataFrame) -> pl.DataFrame:
    """Image rows of every sample, in reading order, in no language."""
    rows = samples.select("sample_id", "image_id").join(pl.DataFrame({"cell": range(SIDE**2)}), how="cross")
    return rows.select(
        "sample_id",
        "image_id",
        pl.lit(None, pl.String).alias("language"),
        pl.lit("image").alias("segment"),
        (pl.col("cell") + START).alias("position"),
        pl.lit(False).alias("special"),
    )


def make_ranking(strength: float = 0.3, p: float = 1e-6) -> Ranking:
    """What the selection split says: the chosen are strongest, the associated follow, the unsupported are not there."""
    tested = [feature for feature in range(FEATURES) if feature not in UNSUPPORTED]
    areas = {**dict.fromkeys(CHOSEN, 0.5 + strength), **dict.fromkeys(ASSOCIATED, 0.6)}
    found = {**dict.fromkeys(CHOSEN, p), **dict.fromkeys(ASSOCIATED, 0.02)}
    table = pl.DataFrame(
        {
            "language": ["en"] * len(tested),
            "position_set": ["image"] * len(tested),
            "feature": pl.Series(tested, dtype=pl.UInt32),
            "auroc": [areas.get(feature, 0.51) for feature in tested],
            "p": [found.get(feature, 0.5) for feature in tested],
        }
    )
    return Ranking(GENDER, ("en",), FEATURES, table)


def make_profile() -> Profile:
    """All fire on as many image rows, but for the dense ones; on captions their rates differ widely."""
    rate = np.zeros((len(SEGMENTS), 1, FEATURES))
    rate[0, 0] = 1 / SIDE**2
    rate[0, 0, list(DENSE)] = 0.5
    rate[2, 0] = np.linspace(0.01, 0.9, FEATURES)
    return Profile(("en",), np.full((len(SEGMENTS), 1), 100.0), rate, rate, rate)


def make_layer(layer: int, samples: pl.DataFrame, look: Look, strength: float = 0.3, p: float = 1e-6) -> LayerView:
    """One layer of the world."""
    tokens = make_tokens(samples)
    codes = make_codes(samples, look).reshape(-1, FEATURES)
    table: Any = Table(tokens, np.zeros((tokens.height, 2), dtype=np.float32))
    index: Any = Index(sparse.csr_array(codes))
    sae: Any = SimpleNamespace(num_features=FEATURES)
    ranked = Ranked(make_ranking(strength, p), make_profile())
    none: Any = None
    return LayerView(layer, table, sae, index, samples, ("en",), GENDER, none, lambda: ranked)


def make_inputs(folder: Path, layers: Mapping[int, LayerView] | None = None, seed: int = 0) -> AnalysisInputs:
    """What the analysis reads; one layer that looks at the person unless others are given."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (56, 56)).save(folder / "a.png")
    samples = make_samples()
    opened = layers or {3: make_layer(3, samples, Look())}
    return AnalysisInputs(
        samples=samples,
        images=folder,
        truth=None,
        layers=tuple(opened),
        languages=("en",),
        open_layer=opened.__getitem__,
        open_model=lambda: None,  # type: ignore[arg-type,return-value]
        instructions={"en": ""},
        seed=seed,
        concept=THE_CONCEPT,
    )


def without(inputs: AnalysisInputs, column: str) -> AnalysisInputs:
    """The same with a column of the samples emptied."""
    samples = inputs.samples.with_columns(pl.lit(None).cast(inputs.samples.schema[column]).alias(column))
    return replace(inputs, samples=samples)
