"""Whether a feature is the concept's: its association with the concept beside that with every other attribute.

The measure is the adjusted η² of a one-way analysis of variance over image means (ε², Kelley 1935): the share of a
feature's variance over images that a column's groups explain, less what as many random groups would. Any analysis that
names features can ask: `correlates` compares, `shared_with` names the attribute that a feature is shared with.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.data.attributes import attributes_by_image
from core.data.concept import Concept
from core.data.own_columns import other_attributes
from core.features.associations import LabelledImages, Labels, labelled_images
from core.features.row_groups import ImageFeatures

SPLITS = ("select", "test")
"""Features are chosen on the first and reported on the second; a correlate on either counts."""
CORRELATES = pl.Schema(
    {
        "feature": pl.UInt32,
        "attribute": pl.String,
        **{f"images_{split}": pl.UInt32 for split in SPLITS},
        **{f"{name}_{split}": pl.Float64 for split in SPLITS for name in ("eta2", "concept")},
        **{f"shared_{split}": pl.Boolean for split in SPLITS},
    }
)
"""One row per feature and attribute. By split: `images` of which both the concept and the attribute are known, adjusted
η² of the attribute (`eta2`) and of the `concept` over these images, and whether the feature is `shared`: the
attribute's is above 0 and at least the concept's. Null where a split has too few images."""


def correlates(
    features: ImageFeatures, chosen: Sequence[int], labels: Labels, samples: pl.DataFrame, concept: Concept
) -> pl.DataFrame:
    """Compare some features' association with the concept to that with every other attribute.

    Args:
        features: image means [N, F] in one language and position set.
        chosen: features to compare, columns of these means.
        labels: the images' sides, in that language.
        samples: their other columns are the attributes.
        concept: names its own columns, which are no attributes.

    Returns:
        The columns of `CORRELATES`; empty where the samples have no other attribute.
    """
    groups = coded_attributes(samples, concept, features.images)
    parts = [_of_split(features, chosen, labelled_images(features.images, labels, split), groups) for split in SPLITS]
    keys = ["feature", "attribute"]
    named = [
        part.rename({name: f"{name}_{split}" for name in part.columns if name not in keys})
        for part, split in zip(parts, SPLITS, strict=True)
    ]
    rows = [(feature, attribute) for feature in chosen for attribute in groups]
    table = pl.DataFrame(rows, schema={name: CORRELATES[name] for name in keys}, orient="row")
    for part in named:
        table = table.join(part, on=keys, how="left", maintain_order="left")
    return table.select(CORRELATES.names()).cast(CORRELATES)


def shared_with(table: pl.DataFrame) -> pl.DataFrame:
    """The attribute that each feature is shared with: feature, shared_with (null where the concept exceeds them all).

    Of several attributes it is the one that exceeds the concept by most, on either split.
    """
    either = pl.any_horizontal(pl.col(f"shared_{split}").fill_null(False) for split in SPLITS)
    excess = pl.max_horizontal(
        pl.when(f"shared_{split}").then(pl.col(f"eta2_{split}") - pl.col(f"concept_{split}")) for split in SPLITS
    )
    found = (
        table.filter(either)
        .sort(excess, "attribute", descending=[True, False], maintain_order=True)
        .unique("feature", keep="first", maintain_order=True)
        .select("feature", pl.col("attribute").alias("shared_with"))
    )
    return table.select("feature").unique(maintain_order=True).join(found, on="feature", how="left")


def coded_attributes(
    samples: pl.DataFrame, concept: Concept, images: Sequence[str]
) -> Mapping[str, Int[np.ndarray, " N"]]:
    """The group of each image by attribute, as a number; −1 where the image's samples disagree or say nothing."""
    names = other_attributes(samples, concept)
    order = pl.DataFrame({"image_id": list(images)}, schema={"image_id": pl.String})
    known = order.join(attributes_by_image(samples, names), on="image_id", how="left", maintain_order="left")
    return {name: known[name].rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1 for name in names}


def adjusted_eta2(values: Float[np.ndarray, "n F"], groups: Int[np.ndarray, " n"]) -> Float[np.ndarray, " F"]:
    """Adjusted η² of each column of `values` by group: 1 − (1 − η²)(n − 1)/(n − k); NaN without variance, with one
    group, or with as many groups as observations."""
    _, codes = np.unique(groups, return_inverse=True)
    n, kinds = codes.size, int(codes.max(initial=-1)) + 1
    if kinds < 2 or n <= kinds:
        return np.full(values.shape[1], np.nan)
    centred = values - values.mean(axis=0)
    sizes = np.bincount(codes).astype(np.float64)
    sums = np.stack([centred[codes == kind].sum(axis=0) for kind in range(kinds)])
    explained, total = (sums**2 / sizes[:, None]).sum(axis=0), (centred**2).sum(axis=0)
    return adjusted(explained, total, n, kinds)


def concept_eta2(values: Float[np.ndarray, " n"], sides: Bool[np.ndarray, "n draws"]) -> Float[np.ndarray, " draws"]:
    """Adjusted η² of one feature by side, for many labellings at once (columns of `sides`)."""
    centred = values - values.mean()
    ones = sides.sum(axis=0, dtype=np.float64)
    sums = centred @ sides.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = sums**2 / ones + sums**2 / (values.size - ones)
    total = np.full(ones.size, float((centred**2).sum()))
    return adjusted(np.where(np.isfinite(explained), explained, np.nan), total, values.size, 2)


def adjusted(
    explained: Float[np.ndarray, " F"], total: Float[np.ndarray, " F"], n: int, kinds: int
) -> Float[np.ndarray, " F"]:
    """Adjusted η² from sums of squares over `n` observations in `kinds` groups."""
    share = np.divide(explained, total, out=np.full(total.shape, np.nan), where=total > 0)
    return np.asarray(1 - (1 - share) * (n - 1) / max(n - kinds, 1))


def is_shared(attribute: Float[np.ndarray, " n"], concept: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Where an attribute's adjusted η² is above 0 and at least the concept's (a concept's NaN counts as 0)."""
    return np.asarray((attribute > 0) & (attribute >= np.nan_to_num(concept)))


def exceeds_all(
    values: Float[np.ndarray, " n"], sides: Bool[np.ndarray, "n draws"], groups: Mapping[str, Int[np.ndarray, " n"]]
) -> Bool[np.ndarray, " draws"]:
    """For each labelling (columns of `sides`), whether no attribute explains as much of a feature as the side does.

    Args:
        values: the feature's image means.
        sides: whether each image is on the first side.
        groups: the images' groups by attribute; −1 where an attribute is unknown, which leaves the image out.
    """
    exceeds = np.ones(sides.shape[1], dtype=bool)
    for codes in groups.values():
        said = codes >= 0
        if said.any():
            own = adjusted_eta2(values[said, None], codes[said])
            exceeds &= ~is_shared(own, concept_eta2(values[said], sides[said]))
    return exceeds


def _of_split(
    features: ImageFeatures,
    chosen: Sequence[int],
    known: LabelledImages | None,
    groups: Mapping[str, Int[np.ndarray, " N"]],
) -> pl.DataFrame:
    rows = []
    for name, codes in groups.items() if known is not None else ():
        assert known is not None  # the loop is empty otherwise
        said = codes[known.rows] >= 0
        values = features.means[np.ix_(known.rows[said], np.asarray(chosen, dtype=np.int64))].astype(np.float64)
        own = adjusted_eta2(values, codes[known.rows][said])
        concept = adjusted_eta2(values, known.positive[said].astype(np.int64))
        shared = is_shared(own, concept)
        for place, feature in enumerate(chosen):
            rows.append((feature, name, int(said.sum()), own[place], concept[place], bool(shared[place])))
    schema = {"feature": pl.UInt32, "attribute": pl.String, "images": pl.UInt32}
    schema |= {"eta2": pl.Float64, "concept": pl.Float64, "shared": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("eta2", "concept").fill_nan(None))
