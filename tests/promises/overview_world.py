"""A layer that holds features alone, and studies whose labels say nothing, or something."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from core.analysis.overview.emergence import Place
from core.analysis.overview.onset import Curve
from core.analysis.overview.onset import onsets as onset_table
from core.data.gender_concept import GENDER
from core.features.row_groups import FeatureSums
from core.stats.curves import layer_scores
from core.stats.probes import Labelled, difference_of_means
from tests.promises.overview_tables import make_samples, make_setup

PLACES = [Place(language, position_set) for language in ("en", "ar") for position_set in GENDER.decision_sets]


@dataclass(frozen=True)
class View:
    """What `top_features` reads of a layer."""

    layer: int
    samples: pl.DataFrame
    feature_sums: FeatureSums


def onsets(seed: int, effect: float = 0.0, images: int = 120, layers: int = 6, draws: int = 99) -> list[int | None]:
    """From which layer on gender is said to be read, by curve, in a study of random labels.

    Streams are alike from layer to layer, between the languages and between the position sets, as real ones are.
    `effect` is what gender adds to them, in standard deviations, from layer 2 on.
    """
    rng = np.random.default_rng(seed)
    female = rng.permutation(np.arange(images) % 2 == 0)
    gender = np.where(female, "female", "male")
    samples = make_samples(images, gender_en=gender, gender_ar=gender)
    train, test = ((samples["split"] == split).to_numpy() for split in ("train", "test"))
    shuffled = make_setup(samples, draws=draws, seed=seed).shuffled.of(samples.filter(test)["image_id"].to_list(), "en")
    base = rng.normal(size=(images, 4))
    curves: dict[Place, Curve] = {}
    for place in PLACES:
        own = base + 0.7 * rng.normal(size=base.shape)
        curves[place] = []
        for layer in range(layers):
            x = own + 0.5 * rng.normal(size=own.shape) + effect * (layer >= 2) * female[:, None]
            probe = difference_of_means(Labelled(x[train], female[train]))
            curves[place].append((layer, layer_scores(probe.score(x[test]), female[test], shuffled)))
    return onset_table(_rows(layers), curves, GENDER)["onset"].to_list()


def _rows(layers: int) -> pl.DataFrame:
    """Rows of the emergence table without evidence, which takes no part in the choice of a layer."""
    names = ("auroc_select", "auroc", "low", "high", "shuffled", "shuffled_low", "shuffled_high", "accuracy")
    nothing = {**dict.fromkeys(names, 0.5), "control": None, "professions_out": None, "test_images": 40}
    rows = [
        {"layer": layer, **place._asdict(), "decision": True, "method": "logistic", **nothing}
        for place in PLACES
        for layer in range(layers)
    ]
    return pl.DataFrame(rows)
