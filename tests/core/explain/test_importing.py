"""Folders that older pipelines left, read into the tables of today."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput
from core.explain.importing.catalogue import read_older
from core.explain.published import PUBLISHED, read_table, write_tables
from core.explain.tables import ACTIVATION_EXAMPLES, EXPLANATIONS, FEATURES, SCORES
from core.explain.vector_columns import vectors_of
from tests.core.explain.older_catalogue import (
    SAE,
    SOURCES,
    leave_raw,
    leave_similarities,
    leave_summary,
    leave_v1,
    leave_v2,
    put,
)
from tests.core.explain.published_catalogue import CARD, cards, publish

NONE = {"fuzz": None, "simulation": None, "detection": None, "embedding": None}


def test_a_whole_folder_becomes_published_tables(tmp_path: Path) -> None:
    leave_raw(tmp_path)
    leave_summary(tmp_path)
    leave_similarities(tmp_path)
    found = read_older(tmp_path, {"llama_s": "org/judge"})
    assert found.explanations.schema == EXPLANATIONS
    texts = found.explanations.select("feature_id", "explainer", "llm_explainer", "text", "failure").rows()
    assert texts == [
        (feature, source, f"org/explainer-{number}", *said)
        for number, source in reversed(list(enumerate(SOURCES)))
        for feature, said in (
            (0, (f"{source} on 0", "")),
            *([(5, (None, "the file is empty"))] if not number else []),
            (12, (f"{source} on 12", "")),
            (877, (f"{source} on 877", "")),
        )
    ]
    write_tables(tmp_path / "new", found.tables)
    main = read_table(tmp_path / "new" / "features.parquet")
    assert main["sae_id"].unique().to_list() == [SAE]
    row = main.filter(feature_id=0, llm_explainer="org/explainer-0").row(0, named=True)
    assert [pair["feature_id"] for pair in row["decoder_similarity"]] == list(range(111, 101, -1))
    assert row["scores"] == [
        NONE | {"scorer": "openai/gpt-oss-20b", "fuzz": 0.75, "detection": 0.5},
        {"scorer": "org/judge", "fuzz": pytest.approx(2 / 3), "simulation": pytest.approx(0.3)}
        | {"detection": 0.0, "embedding": 0.75},
    ]
    other = main.filter(feature_id=0, llm_explainer="org/explainer-1").row(0, named=True)
    assert [entry["scorer"] for entry in other["scores"]] == ["org/judge"]


def test_answers_that_failed_count_nowhere(tmp_path: Path) -> None:
    leave_raw(tmp_path)
    scores = read_older(tmp_path).tables["scores"]
    assert scores.schema == SCORES
    counts = {
        (row["scorer"], row["metric"]): (row["n"], row["n_failed"])
        for row in scores.filter(feature_id=0, explainer=SOURCES[0]).to_dicts()
    }
    assert counts == {
        ("fuzz", "accuracy"): (3, 2),
        ("detection", "accuracy"): (1, 0),
        ("simulation", "correlation"): (2, 1),
        ("embedding", "auroc"): (4, 1),
    }


def test_a_single_source_is_a_folder_of_its_own(tmp_path: Path) -> None:
    put(tmp_path / "run" / "explanations" / ".transformer.h.0_feature12.txt", "plain words")
    put(tmp_path / "run" / "scores" / "detection" / ".transformer.h.0_feature12.txt", [{"correct": True}])
    found = read_older(tmp_path / "run", sae_id="mine")
    (row,) = found.tables["features"].to_dicts()
    assert (row["feature_id"], row["sae_id"], row["explanation_text"]) == (12, "mine", "plain words")
    assert row["scores"] == [NONE | {"scorer": "run", "detection": 1.0}]
    assert found.notes == ()
    hooked = read_older(tmp_path / "run").tables["features"]
    assert hooked["sae_id"].to_list() == ["transformer.h.0"]


def test_v1_has_averages_in_place_of_a_list_and_a_row_per_judge(tmp_path: Path) -> None:
    leave_v1(tmp_path)
    main = read_older(tmp_path).tables["features"]
    assert main.schema == FEATURES
    assert main.height == 6
    row = main.filter(feature_id=12, llm_explainer="B").row(0, named=True)
    assert row["explanation_text"] == "B on 12"
    assert row["semantic_similarity"] == [
        {"explainer": "semsim_mean", "cosine_similarity": 0.5},
        {"explainer": "semsim_max", "cosine_similarity": 0.75},
    ]
    assert row["scores"] == [
        {"scorer": judge, "fuzz": 0.5, "simulation": None, "detection": 0.25, "embedding": 0.9} for judge in "xy"
    ]
    assert main.filter(feature_id=0)["semantic_similarity"].list.len().to_list() == [0, 0]


def test_v2_has_a_null_simulation_and_further_columns(tmp_path: Path) -> None:
    leave_v2(tmp_path)
    (row,) = read_older(tmp_path).tables["features"].to_dicts()
    assert row["scores"] == [{"scorer": "x", "fuzz": 0.5, "simulation": None, "detection": 0.75, "embedding": 0.25}]
    assert row["semantic_similarity"] == [{"explainer": "B", "cosine_similarity": 0.25}]
    assert row["decoder_similarity"] == [{"feature_id": 3, "cosine_similarity": 0.5}]


def test_older_tables_of_examples_and_vectors_are_cast(tmp_path: Path) -> None:
    example = {"feature_id": 3, "sae_id": SAE, "prompt_id": 9, "prompt_tokens": ["a", " b"], "num_activations": 1}
    pairs = [{"token_position": 1, "activation_value": 0.5}]
    pl.DataFrame([example | {"max_activation": 0.5, "activation_pairs": pairs}]).write_parquet(
        tmp_path / "activation_examples.parquet"
    )
    vector = {"feature_id": 3, "sae_id": SAE, "data_source": "llama_e-llama_s", "llm_explainer": "A"}
    pl.DataFrame([vector | {"explanation_text": "t", "embedding": [0.6, 0.8]}]).write_parquet(
        tmp_path / "explanation_embeddings.parquet"
    )
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "umap.parquet")
    found = read_older(tmp_path)
    examples = found.tables["activation_examples"]
    assert examples.schema == ACTIVATION_EXAMPLES
    assert examples["map_cells"].null_count() == examples["language"].null_count() == 1
    assert found.notes == ("umap.parquet: is none of the published tables, and is left out",)
    write_tables(tmp_path / "new", found.tables)
    assert sorted(path.stem for path in (tmp_path / "new").iterdir()) == sorted(found.tables)


def test_older_vectors_make_the_semantic_similarity(tmp_path: Path) -> None:
    leave_raw(tmp_path)
    rows = [
        {"feature_id": 0, "sae_id": "other/name", "data_source": source, "llm_explainer": name, "embedding": vector}
        for source, name, vector in zip(SOURCES, "AB", ([1.0, 0.0], [0.6, 0.8]))
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "explanation_embeddings.parquet")
    main = read_older(tmp_path).tables["features"].filter(feature_id=0, llm_explainer="org/explainer-0")
    (entry,) = main["semantic_similarity"].item().to_list()
    assert entry == {"explainer": "B", "cosine_similarity": pytest.approx(0.6)}


def test_scores_without_an_explanation_are_told(tmp_path: Path) -> None:
    leave_raw(tmp_path)
    leave_summary(tmp_path, "gemini_e-openai_s")
    assert read_older(tmp_path).notes == ("gemini_e-openai_s: 6 scores belong to no explanation",)


def _broken(folder: Path, fault: str) -> None:
    if fault == "json":
        put(folder / "raw" / SOURCES[0] / "scores" / "fuzz" / "layers.30_latent0.txt", "{")
    elif fault == "list":
        put(folder / "raw" / SOURCES[0] / "scores" / "fuzz" / "layers.30_latent0.txt", "{}")
    elif fault == "summary":
        put(folder / "scores" / "s" / "scores.json", {"latent_scores": {"x": {"fuzz": {"average_score": 1}}}})
    elif fault == "similarities":
        put(folder / "feature_similarities.json", {"feature_mappings": [{"source_feature_id": 3}]})
    elif fault == "bytes":
        (folder / "raw" / SOURCES[0] / "explanations" / "layers.30_latent0.txt").write_bytes(b"\xff\xfe\x00")
    elif fault == "column":
        pl.DataFrame({"feature_id": [1]}).write_parquet(folder / "features.parquet")
    elif fault == "cast":
        frame = pl.DataFrame({"feature_id": ["a"], "sae_id": ["s"], "num_examples_sampled": [1]})
        four = [pl.lit(0.1).alias(f"{name}_pairwise_similarity") for name in ("mean", "std", "min", "max")]
        frame.with_columns(four).write_parquet(folder / "activation_example_similarity.parquet")
    elif fault == "parquet":
        put(folder / "features.parquet", "no Parquet")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("json", r"layers\.30_latent0\.txt: is not JSON .*; write it again or take it away"),
        ("list", r"layers\.30_latent0\.txt: is no list of answers"),
        ("summary", r"scores\.json: 'x' is no feature's number; correct the key"),
        (
            "similarities",
            r"feature_similarities\.json: 'feature_mappings' needs source_feature_id and top_10_neighbors",
        ),
        ("bytes", r"layers\.30_latent0\.txt: cannot be read as text"),
        ("column", r"features\.parquet: column 'sae_id' is missing; add it, or take the file away"),
        ("cast", r"activation_example_similarity\.parquet: column 'feature_id' is String, not UInt32; correct it"),
        ("parquet", r"features\.parquet: cannot be read as Parquet"),
    ],
)
def test_a_damaged_file_is_told_in_one_line(tmp_path: Path, fault: str, said: str) -> None:
    leave_raw(tmp_path)
    _broken(tmp_path, fault)
    with pytest.raises(BadInput, match=said) as told:
        read_older(tmp_path)
    assert "\n" not in str(told.value)


def test_a_folder_of_nothing_names_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds nothing that can be imported; looked for explanations/\*\.txt"):
        read_older(tmp_path)
    with pytest.raises(BadInput, match="is no folder; name the one that holds"):
        read_older(tmp_path / "nowhere")
    assert set(PUBLISHED) > {"features", "scores"}


def test_tables_of_today_keep_what_embedded_them_and_their_vectors(tmp_path: Path) -> None:
    own = publish(tmp_path / "published")
    for name in ("explanation_embeddings", "activation_embeddings"):
        (tmp_path / "published" / f"{name}.small.parquet").rename(tmp_path / "published" / f"{name}.parquet")
    found = read_older(tmp_path / "published")
    assert found.cards["explanation_embeddings"] == CARD and set(found.cards) == set(cards()) & set(found.tables)
    kept = vectors_of(found.tables["explanation_embeddings"]["embedding"])
    assert np.abs(kept - vectors_of(own["explanation_embeddings"]["embedding"])).max() < 0.02  # they were bytes
    assert np.allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-6)
