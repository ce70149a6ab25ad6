"""One feature of a concept scan: how it ranks, what it fires on, and what it writes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.concepts.measures import AUROCS, SPEARMAN
from core.concepts.sentences import SENTENCES, load
from core.concepts.shown import examples, onsets
from core.reading.scans import OpenedScan
from core.stats.families import ALPHA
from explorer.asking.answer import Answer

_WORDS = {SPEARMAN.name: "Spearman with the label", **{one.name: f"AUROC, {one.words}" for one in AUROCS}}


@dataclass(frozen=True)
class Named:
    """A feature of a scan by its SAE's key and its number there."""

    scan: OpenedScan
    sae: str
    feature: int

    @property
    def here(self) -> pl.Expr:
        """The rows of a table that are the feature's."""
        return (pl.col("sae") == self.sae) & (pl.col("feature") == self.feature)


def scanned_feature(named: Named, each: int) -> Answer:
    """Its rank and scores, `each` held-out sentences of each label on which it fires most, where it begins to fire, its
    tokens and matches as far as the scan looked at them.

    Raises:
        BadInput: no such SAE or feature, or a file is missing or damaged.
    """
    scan = named.scan
    scanned = scan.scanned(named.sae)
    active, _ = scanned.activations(named.feature)  # refuses a number that is none
    table = load(scan.folder("sentences") / SENTENCES)
    tables = {
        "scores": _scores(named),
        "examples, held-out": _examples(examples(scanned, table, named.feature, each), table),
        "has fired by word": _onsets(onsets(scanned, table, named.feature)),
        **{
            name.replace("_", " "): part for name in ("output_scores", "tokens", "matches") for part in _of(named, name)
        },
    }
    fires = f"It fires on {len(active):,} of {scanned.rows.height:,} fragments (token prefixes of all sentences)."
    lines = (*_ranks(named), fires)
    title = f"{scan.title}: feature {named.feature} of {named.sae}"
    return Answer(title, lines, {name: part for name, part in tables.items() if not part.is_empty()})


def _ranks(named: Named) -> Iterator[str]:
    settings = named.scan.unit.recipe["ranking"]
    ranking, top = named.scan.table("ranking"), named.scan.table("top_features")
    own = ranking.filter(named.here)
    if own.is_empty():
        fewest = settings["min_support"]
        yield f"Not tested: it is active at the end of fewer than {fewest} selection sentences; it has no scores."
        return
    of = f"of {ranking.height:,} tested features of {len(named.scan.saes)} SAEs"
    chosen = top.filter(named.here)
    if chosen.height:
        yield f"Rank {chosen['rank'][0]} {of}, by {_WORDS[settings['by']]} on the selection split."
    else:
        yield f"Not among the {top.height:,} best {of}, which alone are scored on held-out sentences."
    q = own["q_spearman"][0]
    if q <= ALPHA:
        yield f"It goes with the label on the selection split (Spearman, q = {q:.2g} over all features and measures)."
    else:
        yield f"That it goes with the label is not shown (Spearman, q = {q:.2g} over all features and measures)."


def _scores(named: Named) -> pl.DataFrame:
    """A row a measure: the value and its q on the selection split, and the AUROC on held-out sentences."""
    ranked = named.scan.table("ranking").filter(named.here)
    chosen = named.scan.table("top_features").filter(named.here)
    rows: list[dict[str, Any]] = []
    for row in ranked.iter_rows(named=True):
        best = chosen.row(0, named=True) if chosen.height else {}
        for name, words in _WORDS.items():
            held = {f"held_out{end}": best.get(f"{name}_held_out{end}") for end in ("", "_low", "_high")}
            rows.append({"measure": words, "selection": row[name], "q": row[f"q_{name}"], **held})
    return pl.DataFrame(rows, infer_schema_length=None)


def _examples(found: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
    """The sentences, with the strongest activation, the token there, and the activation at the end."""
    strongest = pl.col("strip").list.eval(pl.element().sort_by(pl.element().struct.field("value"), descending=True))
    token = strongest.list.first().struct.field("token").str.strip_chars(" ▁Ġ")
    joined = found.join(
        sentences.select("sentence_id", "sentence"), on="sentence_id", how="left", maintain_order="left"
    )
    at = pl.when(pl.col("max") > 0).then(token)
    return joined.select(
        "label", pl.col("max").alias("strongest"), at.alias("at"), pl.col("full").alias("at_the_end"), "sentence"
    )


def _onsets(found: pl.DataFrame) -> pl.DataFrame:
    """By word, the share of each label's held-out sentences in which it has fired."""
    if found.is_empty():
        return found
    wide = found.with_columns(pl.format("label {}", "label").alias("at")).pivot("at", index="word", values="share")
    return wide.sort("word")


def _of(named: Named, name: str) -> Iterator[pl.DataFrame]:
    """What the scan looked at in the features shown in its report."""
    table = named.scan.examined(name)
    if table is not None:
        own = table.filter(named.here).drop("sae", "feature", "token_id", strict=False)
        yield own.rename({"low": "score_low", "high": "score_high"}) if name == "output_scores" else own
