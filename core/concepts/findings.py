"""What a ranking found, as estimates: they are corrected together, and with labels that say nothing none is found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from core.concepts.beside import FEATURE
from core.concepts.full_sentences import FullSentences
from core.concepts.held_out import exchange_p
from core.concepts.measures import AUROCS, MEASURES, SPEARMAN, Auroc
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import ALPHA
from core.study.concept_scan import RankingSettings

_QUANTITIES = {
    SPEARMAN.name: "largest |Spearman correlation| of a feature with the label",
    **{one.name: f"largest distance of a feature's AUROC from ½, {one.words}" for one in AUROCS},
}
_BY = {
    SPEARMAN.name: "largest |Spearman correlation| with the label",
    **{one.name: f"AUROC furthest from ½ ({one.words})" for one in AUROCS},
}
_WINNER = "the interval does not know that the feature was chosen on the same sentences"


@dataclass(frozen=True)
class Found:
    """What the estimates are made of.

    Args:
        tables: permutation, baselines, comparisons, ranking.
        scores: of the chosen feature on all sentences, in the direction it was chosen in.
        by_chance: by contrast, the held-out AUROCs of the features that exchanged labels chose.
        saes: how many SAEs.
    """

    tables: Mapping[str, pl.DataFrame]
    scores: Float[np.ndarray, " N"]
    by_chance: Mapping[str, Float[np.ndarray, " draws"]]
    saes: int


def estimates(sentences: FullSentences, found: Found, settings: RankingSettings) -> tuple[Estimate, ...]:
    """The chosen feature on held-out sentences, beside each baseline, and the best of all against exchanged labels."""
    tested = [
        *(_held_out(sentences, found, contrast, settings) for contrast in AUROCS),
        *(_beyond(row, found) for row in found.tables["comparisons"].iter_rows(named=True)),
        *(_best(sentences, row) for row in found.tables["permutation"].iter_rows(named=True)),
    ]
    return (*_corrected(tested), _discoveries(found))


def _corrected(tested: Sequence[Estimate]) -> Iterable[Estimate]:
    q = stats.false_discovery_control([one.p for one in tested])
    family = f"{number_of(len(tested), 'estimate')} of the scan"
    return (replace(one, q=float(own), family=family) for one, own in zip(tested, q, strict=True))


def _chosen(found: Found, settings: RankingSettings) -> str:
    return f"{_feature(found)}: {_BY[settings.by]} on the selection split, of {_counted(found)}"


def _feature(found: Found) -> str:
    return str(found.tables["baselines"].filter(method=FEATURE)["setting"][0])


def _counted(found: Found) -> str:
    tested = number_of(found.tables["ranking"].height, "tested feature")
    return f"{tested} of {number_of(found.saes, 'SAE')}"


def _held_out(sentences: FullSentences, found: Found, contrast: Auroc, settings: RankingSettings) -> Estimate:
    used = sentences.is_held_out & contrast.uses(sentences.labels)
    classes, families = contrast.classes(sentences.labels[used]), sentences.families[used]
    row = _only(found.tables["baselines"], measure=contrast.name, method=FEATURE)
    drawn = found.by_chance[contrast.name]
    low, high = np.quantile(drawn, [0.025, 0.975])
    control = Control("features chosen with exchanged labels", float(drawn.mean()), float(low), float(high), drawn.size)
    return Estimate(
        name=f"feature.{contrast.name}",
        quantity=f"AUROC of the chosen feature, {contrast.words}",
        value=row["auroc"],
        unit="AUROC",
        n=row["sentences"],
        counted="held-out sentences",
        source=Source("baselines", {"measure": contrast.name, "method": FEATURE}, "auroc"),
        interval=(row["low"], row["high"]),
        control=control,
        null=0.5,
        sides=1,
        p=exchange_p(found.scores[used], classes, families, settings.permutations, settings.seed),
        draws=settings.permutations,
        split="held-out",
        chosen=_chosen(found, settings),
        answers=True,
    )


def _beyond(row: Mapping[str, Any], found: Found) -> Estimate:
    null = (row["null_mean"], row["null_low"], row["null_high"])
    contrast = MEASURES[row["measure"]]
    words = contrast.words if isinstance(contrast, Auroc) else ""
    return Estimate(
        name=f"feature_less_{row['method'].replace(' ', '_')}.{row['measure']}",
        quantity=f"AUROC of the chosen feature less that of {_NAMED[row['method']]}, {words}",
        value=row["difference"],
        unit="AUROC",
        n=row["sentences"],
        counted="held-out sentences",
        source=Source("comparisons", {"measure": row["measure"], "method": row["method"]}, "difference"),
        interval=(row["low"], row["high"]),
        control=Control("exchanges of the two scores by family", *null, row["draws"]),
        p=row["p"],
        draws=row["draws"],
        split="held-out",
        chosen=_feature(found),
        caveats=("Below 0: the feature reads the concept less well",) if row["difference"] < 0 else (),
    )


_NAMED = {
    "random dictionary": "the best feature of a random dictionary",
    "difference of means": "a difference-of-means probe of the stream",
    "bag of words": "a bag of words",
    "length": "length alone",
}


def _best(sentences: FullSentences, row: Mapping[str, Any]) -> Estimate:
    ends = (row["null_mean"], row["null_q025"], row["null_q975"])
    return Estimate(
        name=f"best.{row['measure']}",
        quantity=_QUANTITIES[row["measure"]],
        value=row["distance"],
        unit="",
        n=int(MEASURES[row["measure"]].uses(sentences.selection.labels).sum()),
        counted="selection sentences",
        source=Source("permutation", {"measure": row["measure"]}, "distance"),
        interval=(row["low"], row["high"]),
        control=Control("best features with exchanged labels", *ends, row["draws"]),
        null=row["null_mean"],
        sides=1,
        p=row["p"],
        draws=row["draws"],
        split="selection",
        chosen=f"feature {row['feature']} of {row['sae']}",
        caveats=(_WINNER,),
    )


def _discoveries(found: Found) -> Estimate:
    ranking = found.tables["ranking"]
    return Estimate(
        name="discoveries",
        quantity=f"share of {_counted(found)} whose Spearman correlation with the label has q ≤ {ALPHA:g}",
        value=float((ranking["q_spearman"] <= ALPHA).mean() or 0),  # type: ignore[arg-type]
        unit="share",
        n=ranking.height,
        counted="tested features",
        source=Source("ranking", {}, "q_spearman"),
        split="selection",
        described=True,
    )


def _only(table: pl.DataFrame, **key: str) -> dict[str, Any]:
    return table.filter(**key).row(0, named=True)
