"""A feature catalogue: examples collected, explained, embedded, scored, and all tables published together."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from core.chat.counted import Counted
from core.explain import publishing, vectors
from core.explain.collected import Folders, about, collected, folders_of, with_pairs
from core.explain.embedder import Embedder
from core.explain.explainers import explain
from core.explain.known_vectors import KnownVectors, embedded_texts, with_explanations
from core.explain.publishing import CARD, EXAMPLES, SCORED, VECTORS, WINDOWS, read, write
from core.explain.scorers import Judging, score
from core.explain.table_file import Card, write_file
from core.explain.tables import ACTIVATION_EXAMPLES, EXPLAINED
from core.report.catalogue import write_catalogue_report
from core.store.workspace import Workspace
from core.study.catalogue import Explainer, Scorer
from tasks.asking import open_asked, open_embedder
from tasks.context import Work
from tasks.models import device_of


def collect_examples(work: Work) -> Mapping[str, float]:
    """Write every prompt in which a block of features fires, and the windows that are shown of them."""
    examples, shown = collected(work.recipe, _folders(work))
    write_file(work.out / EXAMPLES, examples, ACTIVATION_EXAMPLES, Card())
    write(shown, work.out / WINDOWS)
    return {"features": len(work.recipe["features"]), "windows": shown.height}


def explain_features(work: Work) -> Mapping[str, float]:
    """Let one explainer say of each feature of a block what it means."""
    asked, explainer = _asked(work), Explainer.model_validate(work.recipe["explainer"])
    found = explain(
        asked, read(work.input("examples") / WINDOWS), about(work.recipe, _folders(work)), explainer, work.progress
    )
    write(found, work.out / EXPLAINED)
    told = found["text"].count()
    return {"explanations": told, "without": found.height - told, **(asked.metrics() if asked else {})}


def embed_examples(work: Work) -> Mapping[str, float]:
    """Embed the examples that explainers see."""
    embedder = _embedder(work)
    found = vectors.activation_embeddings(read(work.input("examples") / WINDOWS), embedder, work.progress)
    write(found, work.out / VECTORS)
    _write_card(embedder, work)
    return {"features": found.height}


def embed_scored(work: Work) -> Mapping[str, float]:
    """Embed the texts that scorers compare with explanations, once for all explainers."""
    embedder, shown = _embedder(work), read(work.input("examples") / WINDOWS)
    known = about(work.recipe, _folders(work))
    if work.recipe["twins"]:
        known = with_pairs(known, read(work.input("examples") / EXAMPLES), shown)
    found = embedded_texts(shown, known, embedder, work.progress)
    write(found, work.out / VECTORS)
    _write_card(embedder, work)
    return {"texts": found.height}


def embed_explanations(work: Work) -> Mapping[str, float]:
    """Embed what an explainer said of a block."""
    said = read(work.input("explanations") / EXPLAINED)
    found = vectors.explanation_embeddings(said, _embedder(work), work.progress)
    write(found, work.out / VECTORS)
    return {"explanations": found.height}


def score_explanations(work: Work) -> Mapping[str, float]:
    """Let one scorer score what an explainer said of a block."""
    asked, said = _asked(work), read(work.input("explanations") / EXPLAINED)
    embedder = _known_vectors(work, said) if "embedder" in work.recipe else None
    scorer = Scorer.model_validate({**work.recipe["scorer"], "model": asked and asked.name})
    shown, known = read(work.input("examples") / WINDOWS), about(work.recipe, _folders(work))
    if scorer.kind == "twins":
        known = with_pairs(known, read(work.input("examples") / EXAMPLES), shown)
    found = score(said, shown, Judging(asked, embedder), known, scorer, work.progress)
    write(found, work.out / SCORED)
    return {"scores": found.height, **(asked.metrics() if asked else {})}


def publish_catalogue(work: Work) -> Mapping[str, float]:
    """Write all tables of the catalogue, which then are one artefact."""
    recipe = work.recipe
    embedded = [
        publishing.Embedded(
            one["name"],
            one["int8"],
            work.inputs(f"examples in {one['name']}"),
            work.inputs(f"explanations in {one['name']}"),
        )
        for one in recipe["embedders"]
    ]
    saes = list(zip(recipe["saes"], work.inputs("index"), work.inputs("sae"), strict=True))
    examples, explanations = work.inputs("examples"), work.inputs("explanations")
    parts = publishing.Parts(examples, explanations, work.inputs("scores"), embedded, saes)
    return publishing.publish(parts, recipe["kinds"], recipe["bootstrap"], recipe["seed"], work.out)


def report_catalogue(work: Work) -> Mapping[str, float]:
    """Write report.html and report.md of a catalogue."""
    samples = next(iter(work.inputs("samples")), None)
    write_catalogue_report(work.input("tables"), work.recipe["catalogue"], work.out, samples)
    return {}


def _asked(work: Work) -> Counted | None:
    """Who answers the unit's questions; budgets are counted by flow run."""
    run = work.context.flow_run_id or work.unit.artifact.fingerprint
    return open_asked(work.unit, Workspace(Path(work.context.workspace)), run, device_of(work))


def _embedder(work: Work) -> Embedder:
    """What the unit embeds with."""
    embedder = open_embedder(work.unit)
    assert embedder is not None  # its plan names one
    return embedder


def _write_card(embedder: Embedder, work: Work) -> None:
    """Write down what the unit embedded with."""
    card = {"embedder": embedder.name, "revision": embedder.revision, "dimension": embedder.dimension}
    (work.out / CARD).write_text(json.dumps(card) + "\n", encoding="utf-8")


def _known_vectors(work: Work, said: pl.DataFrame) -> KnownVectors:
    """The vectors of what the unit compares: made by others, so that it loads no embedder."""
    texts, explained = work.input("vectors of texts"), work.input("vectors of explanations")
    card = Card(**json.loads((texts / CARD).read_text(encoding="utf-8")))
    return KnownVectors(card, with_explanations(read(texts / VECTORS), said, read(explained / VECTORS)))


def _folders(work: Work) -> Folders:
    """Where the unit reads."""
    return folders_of(work.unit, work.context.store)
