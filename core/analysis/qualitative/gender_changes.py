"""How often generated captions speak of the other gender than the clean caption does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import stats

from core.causal.written import is_turned, told_side
from core.data.gender_concept import GENDER
from core.stats.intervals import bootstrap_mean, wilson
from core.stats.permuted import sign_flip_p

CONTROLS: Mapping[str, str] = {"ablated": "random", "amplified": "random_amplified"}
"""What is done to the chosen features, and the column with the same done to matched random sets."""
CONDITIONS = ("ablated", "random", "amplified", "random_amplified")
RESAMPLES = 1000
FLIPS = 2000
CHANGES = pl.Schema(
    {
        **dict.fromkeys(("language", "condition"), pl.String),
        **dict.fromkeys(("images", "captions"), pl.UInt32),
        **dict.fromkeys(("rate", "low", "high"), pl.Float64),
    }
)
"""`rate`: mean over images of the share of an image's captions that change (over random sets too), with the Wilson
interval over images."""
DIFFERENCES = pl.Schema(
    {
        **dict.fromkeys(("language", "condition"), pl.String),
        **dict.fromkeys(("images", "sets"), pl.UInt32),
        **dict.fromkeys(("rate", "random", "difference", "low", "high"), pl.Float64),
        **dict.fromkeys(("control", "control_low", "control_high", "p", "q"), pl.Float64),
        "draws": pl.UInt32,
    }
)
"""`difference` of the rates with the chosen features and with the random `sets`, paired by image, with the bootstrap
interval over images; `control`: one random set less the others, with percentiles over the sets (null with one set);
p: signs of the paired differences flipped, two-sided; q over conditions and languages."""


def changes_by_image(captions: pl.DataFrame) -> pl.DataFrame:
    """The share of an image's captions that change from one gender to the other.

    Args:
        captions: image_id, language, clean, and a column a condition: text, or a list of texts, one a random set.

    Returns:
        language, image_id, condition, set, changed (captions of the image averaged) and captions. Only captions whose
        clean version has one gender count; a missing text does not.
    """
    rows = []
    for row in captions.iter_rows(named=True):
        before = told_side(GENDER, row["clean"], row["language"])
        if before is None:
            continue
        for condition in CONDITIONS:
            texts = row[condition] if isinstance(row[condition], list) else [row[condition]]
            for number, text in enumerate(texts):
                if text is not None:
                    changed = is_turned(GENDER, before, text, row["language"])
                    rows.append((row["language"], row["image_id"], condition, number, float(changed)))
    schema = {**dict.fromkeys(("language", "image_id", "condition"), pl.String), "set": pl.Int64, "changed": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    keys = ["language", "image_id", "condition", "set"]
    return table.group_by(keys, maintain_order=True).agg(pl.col("changed").mean(), pl.len().alias("captions"))


def turned(by_image: pl.DataFrame) -> set[str]:
    """The images of which a caption changes gender when the chosen features are ablated or amplified."""
    own = by_image.filter(pl.col("condition").is_in(list(CONTROLS)), pl.col("changed") > 0)
    return set(own["image_id"].to_list())


def gender_changes(by_image: pl.DataFrame) -> pl.DataFrame:
    """The rate of changed captions by language and condition: columns of `CHANGES`."""
    keys = ["language", "condition"]
    images = by_image.group_by(*keys, "image_id", maintain_order=True).agg(
        pl.col("changed").mean(), pl.col("captions").sum()
    )
    rows = []
    for (language, condition), part in images.group_by(keys, maintain_order=True):
        rate = wilson(float(part["changed"].sum()), part.height)
        counted = {"language": language, "condition": condition, "images": part.height}
        ends = {"captions": part["captions"].sum(), "rate": rate.mean, "low": rate.low, "high": rate.high}
        rows.append({**counted, **ends})
    return pl.DataFrame(rows, schema=CHANGES)


def differences(
    by_image: pl.DataFrame, units: Callable[[Sequence[str]], Int[np.ndarray, " n"]], seed: int
) -> pl.DataFrame:
    """The chosen features' rate less the random sets', by language: columns of `DIFFERENCES`.

    Args:
        by_image: changes by image, as `changes_by_image` counts them.
        units: the unit of each image; an image and its twin are one.
        seed: of resamples and flips.
    """
    rows = []
    for (language,), part in by_image.group_by("language", maintain_order=True):
        for condition, control in CONTROLS.items():
            images, own, sets = _paired(part, condition, control)
            if images:
                where = {"language": language, "condition": condition, "images": len(images), "sets": sets.shape[1]}
                rows.append(where | _difference(own, sets, units(images), seed))
    table = pl.DataFrame(rows, schema=DIFFERENCES)
    q = stats.false_discovery_control(table["p"].to_numpy()) if table.height else np.zeros(0)
    return table.with_columns(pl.Series("q", q, pl.Float64))


def _paired(
    part: pl.DataFrame, condition: str, control: str
) -> tuple[list[str], Float[np.ndarray, " n"], Float[np.ndarray, "n sets"]]:
    """The images with a number for the condition and for every random set."""
    chosen = part.filter(pl.col("condition") == condition).select("image_id", pl.col("changed").alias("own"))
    random = part.filter(pl.col("condition") == control).sort("set")
    if not random.height or not chosen.height:
        return [], np.zeros(0), np.zeros((0, 0))
    wide = random.pivot("set", index="image_id", values="changed")
    both = chosen.join(wide, on="image_id", how="inner", maintain_order="left").drop_nulls().sort("image_id")
    return both["image_id"].to_list(), both["own"].to_numpy(), both.drop("image_id", "own").to_numpy()


def _difference(
    own: Float[np.ndarray, " n"], sets: Float[np.ndarray, "n sets"], units: Int[np.ndarray, " n"], seed: int
) -> dict[str, Any]:
    paired = own - sets.mean(axis=1)
    found = bootstrap_mean(paired, RESAMPLES, seed, units)
    means = {"rate": own.mean(), "random": sets.mean(), "difference": found.mean, "low": found.low, "high": found.high}
    between = np.array(list(_each_against_others(sets.mean(axis=0))))
    if between.size:
        low, high = np.quantile(between, [0.025, 0.975])
        means |= {"control": float(between.mean()), "control_low": low, "control_high": high}
    return means | {"p": sign_flip_p(paired, FLIPS, seed, units), "draws": FLIPS}


def _each_against_others(rates: Float[np.ndarray, " sets"]) -> Iterator[float]:
    for number in range(rates.size if rates.size > 1 else 0):
        yield float(rates[number] - np.delete(rates, number).mean())


def away_from(clean: str, language: str, otherwise: int) -> int:
    """+1 to steer toward female, −1 toward male: away from the caption's gender; `otherwise` where it has none."""
    gender = told_side(GENDER, clean, language)
    return {"male": 1, "female": -1}.get(gender or "", otherwise)
