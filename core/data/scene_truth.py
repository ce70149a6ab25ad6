"""What the known-answer world planted, as noun phrases that stand beside what was measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.data.concept import PlantedRates
from core.stats.intervals import auroc

_RATES = "female_rate_of_neutral"


def planted_gender(truth: Mapping[str, Any], samples: pl.DataFrame) -> dict[str, str]:
    """The phrases of `Concept.world` for a truth of `core.data.scenes`; none for another's.

    Args:
        truth: what was planted.
        samples: visible_gender, gender_en, profession, split, image_id.
    """
    if _RATES not in truth:
        return {}
    test = samples.filter(pl.col("split") == "test").unique("image_id").sort("image_id")
    seen = int((test["visible_gender"] != "neutral").sum())
    best = auroc(_female_rates(truth, test), (test["gender_en"] == "female").to_numpy().astype(np.int64))
    hidden = test.height - seen
    lowest, highest = min(truth[_RATES].values()), max(truth[_RATES].values())
    rate = f"on {hidden} its rate follows the profession"
    return {
        "read": f"the gender is drawn on {seen} of {test.height} test images, {rate}; at best AUROC {best:.3f}",
        "word": "the person drawn, and nothing else in the picture, decides the caption's gendered words",
        "place": "the gender is drawn on the person alone",
        "bias": f"P(female) of neutral people from {lowest:.2f} to {highest:.2f} by profession, and by nothing else",
        "apart": f"of the attributes the profession alone tells the gender, on the {hidden} test images that show none",
    }


def planted_rates(truth: Mapping[str, Any]) -> PlantedRates | None:
    """P(female | profession) of the captions of people who show no gender; null for a truth of another world."""
    return PlantedRates("profession", truth[_RATES]) if _RATES in truth else None


def _female_rates(truth: Mapping[str, Any], samples: pl.DataFrame) -> Float[np.ndarray, " N"]:
    """The probability that a sample's caption is female, from all that decides it: no score tells more."""
    rates, certain = truth[_RATES], {"woman": 1.0, "man": 0.0}
    pairs = zip(samples["visible_gender"], samples["profession"], strict=True)
    return np.array([certain.get(visible, rates[profession]) for visible, profession in pairs], dtype=np.float64)
