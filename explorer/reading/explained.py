"""Search over what catalogues say of features: by meaning where their embedder is on this machine, else by words."""

from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from core.errors import BadInput
from core.explain.table_file import Card, read_card
from core.reading.published_catalogues import PublishedCatalogue
from core.reading.study import OpenedStudy
from explorer.reading.catalogues import UNCHECKED, Catalogues
from explorer.reading.refusals import UNUSABLE, Refusal

if TYPE_CHECKING:
    from core.explain.embedder import SentenceEmbedder

MOST_TEXT = 500
"""Characters of what is looked for, at most."""
MOST_HITS = 200
"""Explanations of one catalogue, at most."""
EMBEDDINGS = "explanation_embeddings.parquet"
_TURN = Lock()
_OPEN: "dict[Card, SentenceEmbedder]" = {}


class Sought(NamedTuple):
    """What is looked for: a text, and how many explanations of each catalogue are shown, at most `MOST_HITS`."""

    text: str
    limit: int = 20


class Hits(NamedTuple):
    """What one catalogue has: `how` is `meaning` or `words`, and `reason` says why it is not by meaning."""

    catalogue: str
    study: str
    how: str
    reason: str
    found: list[dict[str, Any]]


def explanations_like(
    catalogues: Catalogues, studies: Iterable[OpenedStudy], layer: int | None, sought: Sought
) -> tuple[list[Hits], list[str]]:
    """The explanations of features of these studies that come nearest to a text, by catalogue; and why others are not
    looked into. Where runs of a study have the same SAE, it is told of the first of them alone.

    Args:
        catalogues: of the workspace.
        studies: whose features are looked for.
        layer: only this one; null for all.
        sought: the text.

    Raises:
        Refusal: the text is empty or too long.
    """
    if not sought.text.strip():
        raise Refusal(UNUSABLE, "q: is empty; say what the explanation is about")
    if len(sought.text) > MOST_TEXT:
        raise Refusal(UNUSABLE, f"q: has {len(sought.text)} characters; write at most {MOST_TEXT}")
    sought = sought._replace(limit=min(sought.limit, MOST_HITS))
    hits, notes = [], dict[str, None]()
    seen = set[tuple[str, str]]()
    for study in studies:
        saes: dict[PublishedCatalogue, dict[str, int]] = {}
        for one in study.layers if layer is None else (layer,):
            of_layer = catalogues.of_layer(study, one)
            notes |= dict.fromkeys(of_layer.notes)
            for catalogue, sae in of_layer.found:
                if (catalogue.name, sae) not in seen:
                    saes.setdefault(catalogue, {})[sae] = one
        seen |= {(catalogue.name, sae) for catalogue, layers in saes.items() for sae in layers}
        hits += [_in(catalogue, study, layers, sought) for catalogue, layers in saes.items()]
    found = {f"catalogue {one.catalogue}" for one in hits}
    return hits, [note for note in notes if note.endswith(UNCHECKED) or note.partition(":")[0] not in found]


def _in(catalogue: PublishedCatalogue, study: OpenedStudy, layers: dict[str, int], sought: Sought) -> Hits:
    texts = pl.concat(catalogue.texts(sae).with_columns(sae_id=pl.lit(sae)) for sae in layers)
    try:
        found, how, reason = _by_meaning(catalogue, texts, list(layers), sought), "meaning", ""
    except BadInput as fault:
        from core.explain.searching import with_words

        found, how, reason = with_words(texts, sought.text, sought.limit), "words", str(fault)
    rows = [{"layer": layers[row.pop("sae_id")], "feature": row.pop("feature_id"), **row} for row in found.to_dicts()]
    return Hits(catalogue.name, study.key, how, reason, rows)


def _by_meaning(catalogue: PublishedCatalogue, texts: pl.DataFrame, saes: list[str], sought: Sought) -> pl.DataFrame:
    file = catalogue.folder / EMBEDDINGS
    card = read_card(file)
    vector = _embedded(card, sought.text)
    from core.explain.searching import nearest_in_file
    from core.explain.vectors import source_name

    near = nearest_in_file(file, vector, saes, sought.limit)
    named = texts.with_columns(data_source=source_name(pl.col("explainer"), pl.col("language")))
    keys = ["sae_id", "feature_id", "data_source"]
    return near.join(named, on=keys, how="inner", maintain_order="left").drop("data_source")


def _embedded(card: Card, text: str) -> Any:
    """The text's vector of unit length; the model that made it stays open."""
    from core.explain.searching import opened_embedder  # PyTorch, which reading need not wait for

    with _TURN:
        if card not in _OPEN:
            _OPEN.clear()
            _OPEN[card] = opened_embedder(card)
        return _OPEN[card].embed([text])[0]
