"""A feature catalogue: examples collected, explained, embedded, scored, and all tables published together."""

import json
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from core.activations.tokens import captured_tokens, layer_tokens
from core.data.known_concepts import THE_CONCEPT
from core.explain import publishing, vectors
from core.explain.about import About
from core.explain.examples import activation_examples
from core.explain.explainers import explain
from core.explain.publishing import CARD, EXAMPLES, EXPLAINED, SCORED, VECTORS, WINDOWS, read, write
from core.explain.scorers import Judging, score
from core.explain.table_file import Card, write_file
from core.explain.tables import ACTIVATION_EXAMPLES
from core.explain.twins import one_apart, twins
from core.explain.windows import windows
from core.features.index import FeatureIndex
from core.pictures import open_picture
from core.report.catalogue import write_catalogue_report
from core.study.catalogue import ExampleConfig, Explainer, Scorer
from tasks.asking import open_asked, open_embedder
from tasks.context import Work
from tasks.layer import analysed_samples


def collect_examples(work: Work) -> Mapping[str, float]:
    """Write every prompt in which a block of features fires, and the windows that are shown of them."""
    recipe, samples = work.recipe, analysed_samples(work)
    index = FeatureIndex.open(work.input("index"))
    tokens = layer_tokens(captured_tokens(work.inputs("shards")), work.input("layer"))
    features, sae_id = recipe["features"], recipe["sae_id"]
    examples = activation_examples(index, tokens, samples, features, sae_id)
    write_file(work.out / EXAMPLES, examples, ACTIVATION_EXAMPLES, Card())
    shown = windows(index, tokens, samples, features, ExampleConfig.model_validate(recipe["examples"]), sae_id)
    write(shown, work.out / WINDOWS)
    return {"features": len(features), "windows": shown.height}


def explain_features(work: Work) -> Mapping[str, float]:
    """Let one explainer say of each feature of a block what it means."""
    asked, explainer = open_asked(work), Explainer.model_validate(work.recipe["explainer"])
    found = explain(asked, read(work.input("examples") / WINDOWS), _about(work), explainer, work.progress)
    write(found, work.out / EXPLAINED)
    told = found["text"].count()
    return {"explanations": told, "without": found.height - told, **(asked.metrics() if asked else {})}


def embed_examples(work: Work) -> Mapping[str, float]:
    """Embed the examples that explainers see."""
    embedder = open_embedder(work)
    found = vectors.activation_embeddings(read(work.input("examples") / WINDOWS), embedder, work.progress)
    write(found, work.out / VECTORS)
    card = {"embedder": embedder.name, "revision": embedder.revision, "dimension": embedder.dimension}
    (work.out / CARD).write_text(json.dumps(card) + "\n", encoding="utf-8")
    return {"features": found.height}


def embed_explanations(work: Work) -> Mapping[str, float]:
    """Embed what an explainer said of a block."""
    said = read(work.input("explanations") / EXPLAINED)
    found = vectors.explanation_embeddings(said, open_embedder(work), work.progress)
    write(found, work.out / VECTORS)
    return {"explanations": found.height}


def score_explanations(work: Work) -> Mapping[str, float]:
    """Let one scorer score what an explainer said of a block."""
    asked = open_asked(work)
    embedder = open_embedder(work) if "embedder" in work.recipe else None
    scorer = Scorer.model_validate({**work.recipe["scorer"], "model": asked and asked.name})
    shown, about = read(work.input("examples") / WINDOWS), _about(work)
    if scorer.kind == "twins":
        apart, fired = one_apart(about.samples, THE_CONCEPT), read(work.input("examples") / EXAMPLES)
        about = replace(about, pairs=twins(apart, fired, shown, about.samples, about.seed))
    said = read(work.input("explanations") / EXPLAINED)
    found = score(said, shown, Judging(asked, embedder), about, scorer, work.progress)
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
    write_catalogue_report(work.input("tables"), work.recipe["catalogue"], work.out)
    return {}


def _about(work: Work) -> About:
    """What is known of a block's features beside their examples."""
    recipe, samples = work.recipe, analysed_samples(work)
    folder, described = work.input("samples"), work.unit.inputs.get("described")
    of_features = pl.col("feature").is_in(recipe["features"])
    promoted = None
    if described:
        promoted = read(work.input("described") / "influences.parquet").filter(of_features)
    return About(
        recipe["sae_id"],
        recipe["features"],
        samples,
        promoted,
        (lambda name: open_picture(folder / name)) if "image" in samples.columns else None,
        seed=recipe["seed"],
        draws=recipe.get("bootstrap", 0),
    )
