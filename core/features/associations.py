"""Which features go with the caption's gender: rank tests over images, features tested side by side."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from scipy import stats

from core.analysis.result import AnalysisInputs, LayerInputs
from core.features.row_groups import FeatureCells, UnitFeatures, feature_cells, find_cells

POSITION_SETS = ("image", "last-prompt", "pre-gender", "first-gendered", "later-gendered", "other")
"""Every position set, in the order of the sequence."""
DECISION_SETS = ("last-prompt", "pre-gender")
"""Where gender cannot be read off the caption: only here "gender emerges" is claimed."""
MIN_IMAGES = 20
"""Least images a feature fires on (or 1 % of them, if that is more) to be tested."""
MIN_CLASS = 5
"""Least images of each gender for a test."""

SCHEMA = pl.Schema(
    {
        "feature": pl.UInt32,
        "auroc": pl.Float32,
        "p": pl.Float64,
        "q": pl.Float64,
        "log_odds": pl.Float32,
        "mean_female": pl.Float32,
        "mean_male": pl.Float32,
        "active_female": pl.Float32,
        "active_male": pl.Float32,
        "support": pl.UInt32,
    }
)


def gender_association(
    layer_inputs: LayerInputs, samples: pl.DataFrame, language: str, position_set: str, split: str
) -> pl.DataFrame:
    """Test every supported feature of a layer for the caption's gender, images as units.

    Returns:
        One row a feature that passes the label-blind support filter, by feature: auroc (above ½: more active on
        female), p (two-sided Mann-Whitney, ties corrected), q (Benjamini-Hochberg within this call alone; a claim over
        layers and languages is corrected over all of them by its caller), log_odds of firing on an image at all,
        mean_female / mean_male over images, active_female / active_male over active rows, support (images it fires
        on, all splits). Empty when a gender has fewer than 5 images in the split.
    """
    cells = feature_cells(layer_inputs, find_cells(layer_inputs.table.tokens, samples))
    return associate(cells, image_labels(samples, language), language, position_set, split)


def top_gender_features(
    inputs: AnalysisInputs, layer: int, n: int, position_sets: tuple[str, ...] = DECISION_SETS
) -> list[int]:
    """The `n` features of a layer that go most with gender on the selection split, strongest first.

    A feature's strength is the largest |AUROC − ½| over `position_sets`, averaged over the languages in which it is
    supported or not (0 there). Where those sets have nothing to test (text only, gendered from the first word), the
    first gendered token is used. Ties go to the lower feature.
    """
    layer_inputs = inputs.open_layer(layer)
    cells = feature_cells(layer_inputs, find_cells(layer_inputs.table.tokens, inputs.samples))
    return rank_gender_features(cells, inputs.samples, inputs.languages, position_sets)[:n]


def rank_gender_features(
    cells: FeatureCells, samples: pl.DataFrame, languages: tuple[str, ...], position_sets: tuple[str, ...]
) -> list[int]:
    """All supported features, by strength on the selection split as `top_gender_features` has it."""
    for sets in (position_sets, ("first-gendered",)):
        strength = np.zeros(cells.sums.shape[1])
        for language in languages:
            strength += _strength(cells, image_labels(samples, language), language, sets)
        if strength.any():
            order = np.argsort(-strength, kind="stable")
            return [int(feature) for feature in order if strength[feature] > 0]
    return []


def _strength(
    cells: FeatureCells, labels: pl.DataFrame, language: str, position_sets: tuple[str, ...]
) -> Float[np.ndarray, " F"]:
    best = np.zeros(cells.sums.shape[1])
    for position_set in position_sets:
        tested = associate(cells, labels, language, position_set, "select")
        features = tested["feature"].to_numpy()
        best[features] = np.maximum(best[features], np.abs(tested["auroc"].to_numpy() - 0.5))
    return best


def associate(cells: FeatureCells, labels: pl.DataFrame, language: str, position_set: str, split: str) -> pl.DataFrame:
    """`gender_association` on features already summed within cells."""
    units = cells.units(language, position_set)
    known = select_units(units.images, labels, split)
    if known is None:
        return SCHEMA.to_frame()
    supported = supported_features(units)
    ranked = rank(units.means[np.ix_(known.rows, supported)])
    areas, p = rank_test(ranked, known.female[:, None])
    described = describe(units, known, supported)
    frame = described.with_columns(pl.Series("auroc", areas[:, 0]), pl.Series("p", p[:, 0]))
    q = stats.false_discovery_control(p[:, 0]) if supported.size else p[:, 0]
    return frame.with_columns(pl.Series("q", q)).select(SCHEMA.names()).cast(SCHEMA)


def image_labels(samples: pl.DataFrame, language: str) -> pl.DataFrame:
    """One row an image: image_id, split, female (true, false, or null where captions disagree or name no gender)."""
    gender = pl.col(f"gender_{language}")
    female, male = (gender == "female").any(), (gender == "male").any()
    clear = (female != male) & ~(gender == "both").any()
    female_or_null = pl.when(clear).then(female).otherwise(None).alias("female")
    return samples.group_by("image_id").agg(pl.col("split").first(), female_or_null).sort("image_id")


@dataclass(frozen=True)
class KnownUnits:
    """The units of a split that have a gender: their `rows` among all units, and whether each is `female`."""

    rows: np.ndarray
    female: Bool[np.ndarray, " n"]


def select_units(images: list[str], labels: pl.DataFrame, split: str) -> KnownUnits | None:
    """The units of `split` with a gender; null when either gender has fewer than 5."""
    frame = pl.DataFrame({"image_id": images}, schema={"image_id": pl.String}).with_row_index("unit")
    known = frame.join(labels, on="image_id", how="inner", maintain_order="left").filter(
        (pl.col("split") == split) & pl.col("female").is_not_null()
    )
    female = known["female"].to_numpy().astype(bool)
    if min(int(female.sum()), int((~female).sum())) < MIN_CLASS:
        return None
    return KnownUnits(known["unit"].to_numpy().astype(np.int64), female)


def supported_features(units: UnitFeatures) -> np.ndarray:
    """Features that fire on at least max(20, 1 %) of the images there, whatever their label or split."""
    support = (units.fired > 0).sum(axis=0)
    return np.flatnonzero(support >= max(MIN_IMAGES, 0.01 * len(units.images)))


def rank(values: Float[np.ndarray, "n F"]) -> Float[np.ndarray, "n F"]:
    """Average ranks within each feature, centred."""
    if not values.size:
        return np.zeros(values.shape)
    return np.asarray(stats.rankdata(values, axis=0) - (values.shape[0] + 1) / 2)


def rank_test(
    ranked: Float[np.ndarray, "n F"], female: Bool[np.ndarray, "n draws"]
) -> tuple[Float[np.ndarray, "F draws"], Float[np.ndarray, "F draws"]]:
    """AUROC and two-sided Mann-Whitney p (normal, tie- and continuity-corrected) for each labelling.

    The variance n₁n₀/(n(n−1)) · Σ(r − r̄)² of a sum of average ranks is the tie-corrected one (Lehmann 1975, p. 20).
    """
    n = ranked.shape[0]
    ones = female.sum(axis=0, dtype=np.float64)
    pairs = ones * (n - ones)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = ranked.T @ female.astype(np.float64)  # U − n₁n₀/2
        deviation = np.sqrt(np.outer((ranked**2).sum(axis=0), pairs / (n * (n - 1))))
        z = np.maximum(np.abs(excess) - 0.5, 0) / deviation
        areas = 0.5 + excess / pairs
    p = np.where(deviation > 0, np.minimum(2 * stats.norm.sf(z), 1), 1.0)
    return areas, p


def describe(units: UnitFeatures, known: KnownUnits, supported: np.ndarray) -> pl.DataFrame:
    """Support, firing-rate log odds ratio (Haldane's ½ added) and means by gender of the supported features."""
    means, fired, totals = (m[np.ix_(known.rows, supported)] for m in (units.means, units.fired, units.totals))
    columns: dict[str, np.ndarray] = {"feature": supported, "support": (units.fired > 0).sum(axis=0)[supported]}
    odds = []
    for name, chosen in (("female", known.female), ("male", ~known.female)):
        columns[f"mean_{name}"] = means[chosen].mean(axis=0)
        columns[f"active_{name}"] = totals[chosen].sum(axis=0) / np.maximum(fired[chosen].sum(axis=0), 1)
        firing = (fired[chosen] > 0).sum(axis=0)
        odds.append(np.log((firing + 0.5) / (chosen.sum() - firing + 0.5)))
    columns["log_odds"] = odds[0] - odds[1]
    return pl.DataFrame(columns)
