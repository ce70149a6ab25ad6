"""A concept scan: sentences read, run through the model, encoded by each SAE, and all features ranked."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from core.activations.capture import capture_shard
from core.activations.table import LayerTable
from core.activations.tokens import captured_tokens
from core.concepts.assembled import assemble, shards_of
from core.concepts.capturing import sentence_job, sentence_reason
from core.concepts.card import ScanSource
from core.concepts.encoding import Fragments, Target, encode_fragments, write_control
from core.concepts.fragments import fragment_rows
from core.concepts.matched import decoder_matches
from core.concepts.matched_maxima import matched_maxima
from core.concepts.output_score import chosen_sentences, output_scores
from core.concepts.promoted import promoted_features, tokens_of
from core.concepts.ranking import rank_concept as rank
from core.concepts.registry import SAEEntry
from core.concepts.registry_checks import l0_warning
from core.concepts.scanned import ScannedSAE
from core.concepts.sentences import LABELLED, SENTENCES, labelled_sentences, load, save
from core.concepts.sentences import split_sentences as split
from core.concepts.taken_over import take_over
from core.report.concept import collect_scan, write_scan_report
from core.sae.architectures import SparseAutoencoder
from core.sae.pretrained import open_pretrained
from core.study.concept_scan import OutputConfig, RankingSettings
from core.study.model import CaptureConfig
from core.study.scan import ConceptConfig
from tasks.context import Work
from tasks.models import device_of, open_model


def read_sentences(work: Work) -> Mapping[str, float]:
    """Check the labelled sentences, put them into families, and write them."""
    found = labelled_sentences(Path(work.unit.knobs["sentences"]))
    save(found, work.out / SENTENCES)
    (work.out / "summary.json").write_text(json.dumps({"sentences": found.height}) + "\n", encoding="utf-8")
    return {"sentences": found.height, "families": found["family"].n_unique()}


def split_sentences(work: Work) -> Mapping[str, float]:
    """Say of each sentence whether features are chosen on it or scored."""
    concept = ConceptConfig.model_validate(work.recipe["concept"] | work.unit.knobs["concept"])
    found = split(_labelled(work), Path(concept.sentences).name, concept)
    save(found, work.out / SENTENCES)
    return {name: found.filter(split=name).height for name in ("selection", "held-out")}


def _labelled(work: Work) -> pl.DataFrame:
    return load(work.input("sentences") / SENTENCES, LABELLED)


def _sentences(work: Work) -> pl.DataFrame:
    return load(work.input("sentences") / SENTENCES)


def capture_fragments(work: Work) -> Mapping[str, float]:
    """Run the model once over a shard of sentences, and keep the layers that have SAEs."""
    recipe, (start, stop) = work.recipe, work.recipe["sentences"]
    config = CaptureConfig(
        site=recipe["site"],
        layers=recipe["layers"],
        segments=("caption",),
        max_caption_tokens=recipe["max_tokens"],
        token_budget=work.unit.knobs["token_budget"],
    )
    sentences = _labelled(work)[start:stop]
    job = sentence_job(sentences, recipe["language"], config)
    summary = capture_shard(open_model(work), job, work.out, work.progress)
    for drop in summary.drops:
        work.logger.warning("sentence %s is left out: %s", drop.sample_id, sentence_reason(drop.reason))
    return {"sentences": summary.captions, "left_out": len(summary.drops)}


def encode_sae(work: Work) -> Mapping[str, float]:
    """Encode every fragment with one SAE, and the full sentences with a random dictionary beside it."""
    entry, device = work.recipe["entry"], device_of(work)
    shards = shards_of(work.inputs("fragments"), entry["site"])
    table = LayerTable.open(shards, int(entry["layer"]))
    folder, imported = Path(work.unit.knobs["folder"]), work.unit.knobs.get("imported")
    rows = fragment_rows(captured_tokens(shards), _labelled(work))
    fragments, out = Fragments(table, rows), Target(work.out, work.recipe["precision"])
    source = ScanSource(
        key=entry["key"],
        layer=entry["layer"],
        site=entry["site"],
        declared_l0=entry["l0"],
        sae=work.recipe["content"],
        model=work.recipe["model"],
        tokenizer=work.recipe["model"],
    )

    def opened() -> SparseAutoencoder:
        return open_pretrained(folder, table.d_model).to(device)

    if imported is None:
        card = encode_fragments(opened(), fragments, source, out, work.progress)
    else:
        card = take_over(ScannedSAE.open(Path(imported)), opened, fragments, source, out, work.progress)
    if warning := l0_warning(SAEEntry(**entry, path=str(folder)), card.measured_l0):
        work.logger.warning(warning)
    write_control(fragments, work.out)
    return {"features": card.features, "entries": card.entries, "l0": card.measured_l0}


def rank_concept(work: Work) -> Mapping[str, float]:
    """Rank all features of all SAEs on one split, and score the best on the other, beside baselines."""
    sentences, beside = assemble(_sentences(work), work.inputs("scanned"), work.inputs("fragments"))
    settings = RankingSettings.model_validate(work.recipe["ranking"])
    found = rank(sentences, beside, settings)
    found.save(work.out)
    maxima = matched_maxima(found.tables["top_features"], sentences, work.inputs("scanned"), settings)
    maxima.write_parquet(work.out / "maxima.parquet", compression="zstd", statistics=False)
    return found.metrics()


def examine_features(work: Work) -> Mapping[str, float]:
    """What the best features write: the tokens that they promote, the same direction in neighbouring layers' SAEs, and
    whether the model's continuation turns towards the concept when they are promoted."""
    config = OutputConfig.model_validate(work.recipe["output"])
    top = pl.read_parquet(work.input("ranking") / "top_features.parquet", glob=False)
    sentences = chosen_sentences(_sentences(work), config.sentences, config.seed)
    folders = {key: Path(folder) for key, folder in work.unit.knobs["folders"].items()}

    def opened(key: str) -> SparseAutoencoder:
        return open_pretrained(folders[key], None)

    loaded, shown = open_model(work), top.head(work.recipe["shown"])
    promoted = promoted_features(top, work.inputs("scanned"), opened, config) if config.features else []
    tables = {
        "output_scores": output_scores(loaded, sentences, promoted, config, work.progress),
        "matches": decoder_matches(shown, work.recipe["saes"], opened),
        "tokens": tokens_of(shown, opened, loaded),
    }
    for name, table in tables.items():
        table.write_parquet(work.out / f"{name}.parquet", compression="zstd", statistics=False)
    return {"features_promoted": len(promoted)}


def report_concept(work: Work) -> Mapping[str, float]:
    """Write report.html and report.md of a scan."""
    inputs = collect_scan(work.context.store, work.recipe, work.unit.inputs)
    write_scan_report(inputs, work.out)
    return {}
