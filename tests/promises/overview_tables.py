"""Planted tables of the overview: features and streams by image, whose truth differs between splits and languages."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy import sparse

from core.activations.stream_rows import SHARED
from core.analysis.overview.emergence import LabelledSplits, ProbeSetup
from core.data.gender_concept import GENDER
from core.features.associations import Labels
from core.features.families import Families
from core.features.row_groups import FeatureSums, RowGroups
from core.features.shuffles import shuffle_labels
from core.stats.probes import Labelled

SPLITS = ("train", "select", "test")


def make_samples(images: int = 180, **columns: Sequence[object]) -> pl.DataFrame:
    """Images in thirds over the splits, every other one female in both languages."""
    numbers = np.arange(images)
    gender = np.where(numbers % 2 == 0, "female", "male")
    names = [f"i{number:03d}" for number in numbers]
    table = pl.DataFrame(
        {
            "sample_id": [f"s{number:03d}" for number in numbers],
            "image_id": names,
            "split": [SPLITS[number // 2 % 3] for number in numbers],
            "gender_en": gender,
            "gender_ar": gender,
        }
    )
    return table.with_columns(pl.Series(name, values) for name, values in columns.items())


def make_sums(
    samples: pl.DataFrame,
    sets: Mapping[tuple[str | None, str], np.ndarray],
    rows: Sequence[int] | None = None,
) -> FeatureSums:
    """Sums over rows, from each image's mean activation [N, F] by language (null: shared rows) and position set."""
    counts = np.array(rows if rows is not None else [2] * samples.height)
    parts, values = [], []
    for (language, position_set), means in sets.items():
        parts.append(
            samples.select(
                "image_id",
                pl.lit(language, dtype=pl.String).alias("language"),
                pl.lit(position_set).alias("position_set"),
                pl.Series("rows", counts, dtype=pl.UInt32),
            )
        )
        values.append(means * counts[:, None])
    sums = sparse.csr_array(np.concatenate(values).astype(np.float32))
    fired = sparse.csr_array((sums.toarray() > 0).astype(np.float32))
    return FeatureSums(RowGroups(pl.concat(parts), np.zeros(0, np.int64)), sums, fired)


def make_families(
    samples: pl.DataFrame,
    sets: Mapping[tuple[str | None, str], np.ndarray],
    position_sets: tuple[str, ...] = (GENDER.positions.before,),
    layers: Sequence[int] = (0,),
    draws: int = 20,
) -> Families:
    """Families of tests over layers that hold the same features."""
    families = Families(GENDER, Labels.by_language(GENDER, samples, ("ar", "en")), draws, seed=0)
    for layer in layers:
        families.add(layer, make_sums(samples, sets), position_sets)
    return families


def noise(samples: pl.DataFrame, features: int, seed: int = 0) -> np.ndarray:
    """Activations that are associated with nothing."""
    return np.random.default_rng(seed).gamma(2, 1, (samples.height, features))


def female(samples: pl.DataFrame, split: str | None = None, language: str = "en") -> np.ndarray:
    """Which images are female, of a split or of all."""
    chosen = pl.col(f"gender_{language}") == "female"
    return samples.select(chosen & (pl.lit(True) if split is None else pl.col("split") == split)).to_series().to_numpy()


def make_setup(
    samples: pl.DataFrame, units: Mapping[str, int] | None = None, draws: int = 50, seed: int = 0
) -> ProbeSetup:
    """What probes need, with each image as a unit unless `units` say otherwise."""
    labels = Labels.by_language(GENDER, samples, ("ar", "en"))
    every = units or {name: number for number, name in enumerate(samples["image_id"])}
    return ProbeSetup(labels, shuffle_labels(labels, "test", draws, seed, every), {}, every, 50, seed)


def split_by_split(names: Sequence[str], x: Mapping[str, np.ndarray], y: Mapping[str, np.ndarray]) -> LabelledSplits:
    """Splits from their rows and labels; `names` are the test images."""
    train, select, test = (Labelled(x[split], y[split]) for split in SPLITS)
    return LabelledSplits(train, select, test, list(names))


__all__ = ["SHARED", "female", "make_families", "make_samples", "make_setup", "make_sums", "noise", "split_by_split"]
