"""What the comparison of the languages supports, as estimates."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from core.analysis.alignment.concept_features import SHARE, Firsts
from core.analysis.alignment.design import Design
from core.analysis.alignment.values import OverFeatures
from core.stats.estimate import Control, Estimate, Source
from core.stats.families import ALPHA
from core.stats.intervals import permutation_p

_PAIRS = "shuffles of the pairs within {strata}, an image with its twin"
_LABELS = "shuffles of the images' labels, an image's captions and its twin together"
_WORDS: Mapping[str, tuple[str, str]] = {
    "correlation": ("correlation of a feature's activation on the two captions of an image, mean over features", ""),
    "jaccard": ("images on both of whose captions a feature fires, of those on either, mean over features", "share"),
    "matched": ("share of features with a counterpart in the other language", "share"),
    "cka": ("debiased linear CKA of the stream on the two captions of an image", ""),
    "overlap": ("share of one language's {top} most gendered features that are among the other's", "share"),
    "cosine": ("cosine of a most gendered feature with the nearest of the other language's {top}", ""),
    "transport": ("cosine of most gendered features paired one to one by optimal transport, {top} a language", ""),
    "direction": ("cosine of the languages' gender directions in the stream", ""),
}
_BY_LABELS = ("overlap", "cosine", "transport", "direction")
_OVER_FEATURES = ("matched", "overlap", "cosine", "transport")
_ANSWERS = ("correlation", "overlap")
_QUARTER = 4


def findings(summary: pl.DataFrame, design: Design, top: int, counted: str) -> tuple[Estimate, ...]:
    """The estimates.

    Args:
        summary: `summary_table`.
        design: the images, and how they were shuffled.
        top: how many first features were compared.
        counted: images or items.
    """
    tested = summary.filter(pl.col("p").is_not_null()).height
    rows = summary.rows(named=True)
    return tuple(_estimate(row, design, top, (counted, tested)) for row in rows)


def strata_words(design: Design) -> str:
    """What the images whose captions are exchanged have in common."""
    return " and ".join((*design.columns, "gender"))


def _estimate(row: Mapping[str, Any], design: Design, top: int, counts: tuple[str, int]) -> Estimate:
    counted, tested = counts
    name = row["measure"].removesuffix(" - frozen")
    beside = name != row["measure"]
    quantity, unit = _WORDS[name]
    what = _LABELS if name in _BY_LABELS else _PAIRS.format(strata=strata_words(design))
    over = f"features, interval over them, on test {counted}" if name in _OVER_FEATURES else f"test {counted}"
    control = Control.of(what, row)
    return Estimate(
        name=f"{name}.beyond_frozen" if beside else name,
        quantity=f"{quantity.format(top=top)}{', minus that of the frozen dictionaries' if beside else ''}",
        value=row["value"],
        unit="points" if beside and unit == "share" else unit,
        n=row["n"],
        counted="layers, interval over them" if beside else over,
        source=Source("summary", {"measure": row["measure"]}, "value"),
        interval=(row["low"], row["high"]),
        control=control,
        null=control.mean if control else 0.0,
        sides=1,
        p=row["p"],
        q=row["q"],
        family=f"{tested} measures",
        draws=row["draws"] or 0,
        condition="over all layers",
        answers=name in _ANSWERS and not beside,
        described=control is None,
        caveats=() if beside else _caveats(row),
    )


def _caveats(row: Mapping[str, Any]) -> tuple[str, ...]:
    ceiling = row["ceiling"]
    if ceiling is not None and math.isfinite(ceiling):
        return (f"two SAEs of one layer from two seeds reach {ceiling:.2f} by the same measure, in one language",)
    if row["measure"] in ("matched", "overlap", "cosine", "transport"):
        return ("two SAEs of one layer would not agree in full either; that ceiling is not measured",)
    return ()


def notes(design: Design, layers: Sequence[Firsts | None], frozen: bool, ceiling: bool) -> tuple[str, ...]:
    """What was left out, and how to read what is there.

    Args:
        design: the images, and how they were shuffled.
        layers: the SAEs' first features, by layer.
        frozen: whether there are frozen dictionaries.
        ceiling: whether there is a second SAE of some layer.
    """
    used = f"the column {design.columns[0]} and the gender" if design.columns else "the gender alone (no profession)"
    lines = [
        f"{len(design.images)} test images; pairs are shuffled among images of one stratum by {used} of their "
        "captions in each language, an image and its twin exchanged for another such pair; "
        f"{design.moved:.0%} of the images get another one's caption in a shuffle. Images without these labels, which "
        f"stay where they are: {design.unknown}.",
        "The nearest and the paired cosine of a feature that both languages have is 1, for they share one dictionary: "
        "both rise with the overlap.",
    ]
    if design.sides is None:
        lines.append("Fewer than five test images of either gender: gender's features are not compared.")
    else:
        lines += _of_firsts(layers)
    if not frozen:
        lines.append("No frozen dictionary beside the SAEs: sae.frozen: true trains one.")
    if not ceiling:
        lines.append("No seed ceiling: sae.seed: [0, 1] trains a second SAE of each layer to compare with.")
    return tuple(lines)


def _of_firsts(layers: Sequence[Firsts | None]) -> list[str]:
    """How many first features there are, and what comes of fewer."""
    known = [firsts for firsts in layers if firsts is not None]
    lines = []
    if len(known) < len(layers):
        lines.append(
            f"Layers with fewer than {SHARE} live features, in which gender's features are not compared: "
            f"{len(layers) - len(known)} of {len(layers)}."
        )
    if not known:
        return lines
    most = max(known, key=lambda firsts: firsts.top)
    lines.append(
        f"The most gendered features are {most.top} at most, by |Cohen's d| of the mean over an image's caption "
        f"rows. Of {most.live} live ones so many drawn at random would share {most.top / most.live:.1%}; at "
        "most a tenth is taken, for more would overlap by their number alone."
    )
    return lines + ([_fewer(known)] if most.top >= _QUARTER else [])


def _fewer(layers: Sequence[Firsts]) -> str:
    """Whether half or a quarter of the first features would be concluded of as all of them are."""
    told, sides = [], []
    for name, divisor in (("all", 1), ("half", 2), ("a quarter", _QUARTER)):
        pooled = OverFeatures.pooled([one.overlap_of(max(1, one.top // divisor)) for one in layers])
        p = permutation_p(pooled.value, pooled.shuffled)
        told.append(f"{pooled.value:.2f} with {name} (p = {p:.3g})")
        sides.append(p <= ALPHA)
    same = "on the same side of 5 % each" if len(set(sides)) == 1 else "not all on one side of 5 %"
    return f"Overlap if fewer of them are taken, p uncorrected: {', '.join(told)}; {same}."
