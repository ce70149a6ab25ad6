"""Whether the top features of scans of scenes follow their own attribute: `python -m infra.scene_flips WORKSPACE`.

The scans are those of `infra.scene_concepts`. On the held-out scenes, the first feature of each ranking is compared:
its response to a flip of its own attribute, less that to a flip of the other one. Controls are features of all scanned
SAEs that fire on as many selection sentences, whether or not they go with an attribute; with `--unassociated` only
those whose Spearman correlation with the label has q > 0.05.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from core.concepts.assembled import assemble
from core.concepts.flips import Flip, Preference, preference
from core.concepts.full_sentences import HELD_OUT, FullSentences
from core.concepts.sentences import SENTENCES, load
from core.reading.scans import OpenedScan, scan_by_name
from core.stats.families import ALPHA, corrected_within
from core.stats.rate_matching import match_rates
from core.store.workspace import Workspace

SAME = ("family", "gender", "words", "place")
GENDER, PLACE = Flip("gender", ("female", "male")), Flip("place", ("beach", "school"))
FLIPS = {
    "scene-gender": (GENDER, PLACE),
    "scene-place": (PLACE, GENDER),
    "scene-gender-word": (GENDER, PLACE),
    "scene-place-word": (PLACE, GENDER),
}
"""Of each scan: the flip of its own attribute, and the other one."""
DRAWS, SEED = 2000, 0


def with_controls(sentences: FullSentences, column: int, pool: Bool[np.ndarray, " F"]) -> Int[np.ndarray, " n"]:
    """The numbers of a feature and of its controls, which are of the pool, the feature first."""
    rates = sentences.selection.support() / len(sentences.selection.labels)
    found = match_rates([column], rates, pool)
    return np.concatenate([[column], *found.candidates]).astype(np.int64)


def unassociated(scan: OpenedScan, keys: np.ndarray, numbers: np.ndarray) -> Bool[np.ndarray, " F"]:
    """Which features were tested and do not go with the label."""
    free = scan.table("ranking").filter(pl.col("q_spearman") > ALPHA).select("sae", "feature")
    named = set(free.iter_rows())
    return np.array([pair in named for pair in zip(keys.tolist(), numbers.tolist(), strict=True)])


def compared(scan: OpenedScan, concept: str, only_unassociated: bool) -> tuple[str, Preference]:
    """The name of the scan's first feature, and its preference on held-out scenes."""
    table = load(scan.folder("sentences") / SENTENCES)
    sentences, _ = assemble(table, scan.folders("scanned"), scan.folders("fragments"))
    key, feature = scan.table("top_features").select("sae", "feature").row(0)
    keys, numbers = np.array(sentences.columns.saes()), sentences.columns.feature
    column = int(np.flatnonzero((keys == key) & (numbers == feature))[0])
    pool = unassociated(scan, keys, numbers) if only_unassociated else np.ones(len(keys), dtype=bool)
    chosen = with_controls(sentences, column, pool)
    held = sentences.features(chosen).held_out.active.toarray().astype(np.float64)
    order = pl.DataFrame({"sentence_id": scan.scanned(key).sentences})
    rows = order.join(table, on="sentence_id", how="left", maintain_order="left").filter(split=HELD_OUT)
    own, other = (flip.pairs(rows, [name for name in SAME if name != flip.column]) for flip in FLIPS[concept])
    return f"feature {feature} of {key}", preference(held, rows["family"].to_numpy(), (own, other), DRAWS, SEED)


def comparisons(workspace: Workspace, only_unassociated: bool) -> pl.DataFrame:
    """A row for each scan; q corrects over all of them."""
    rows: list[dict[str, Any]] = []
    for concept in FLIPS:
        name, found = compared(scan_by_name(workspace, concept), concept, only_unassociated)
        rows.append({"scan": concept, "top feature": name, **vars(found)})
    return corrected_within(
        pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col("p").cast(pl.Float64)), pl.lit("")
    )


def said(row: Mapping[str, Any]) -> str:
    """A row of `comparisons` as a sentence."""
    own = f"own flip {row['own']:.2f} SD, other flip {row['other']:.2f} SD, difference {row['value']:.2f}"
    interval = f"[{row['low']:.2f}, {row['high']:.2f}] over {row['scenes']} held-out scenes"
    if row["p"] is None:
        return f"{row['scan']}: {row['top feature']}: {own} {interval}; no feature fires as often"
    control = f"{row['control']:.2f} [{row['control_low']:.2f}, {row['control_high']:.2f}]"
    beside = f"{row['controls']} features that fire as often {control}; p = {row['p']:.2g}, q = {row['q']:.2g}"
    return f"{row['scan']}: {row['top feature']}: {own} {interval}; {beside} over {len(FLIPS)} scans"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("workspace", type=Path, help="the workspace in which both scans ran")
    parser.add_argument("--unassociated", action="store_true", help="controls that do not go with the label")
    given = parser.parse_args()
    for row in comparisons(Workspace(given.workspace.resolve()), given.unassociated).iter_rows(named=True):
        print(said(row))
