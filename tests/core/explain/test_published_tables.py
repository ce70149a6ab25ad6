"""Published tables: what is written is what any reader finds, all of it or nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from core.errors import BadInput
from core.explain.published import (
    PUBLISHED,
    read_table,
    scan_table,
    table_schema,
    tables_in,
    write_tables,
)
from core.explain.table_file import Card, read_card, write_file
from core.explain.vector_columns import vectors_of
from tests.core.explain.published_catalogue import SMALL, cards, publish, tables
from tests.flows.commands import PROJECT


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pl.DataFrame]]:
    folder = tmp_path_factory.mktemp("catalogue") / "published"
    return folder, publish(folder)


def test_tables_come_back_as_they_were_written(catalogue: tuple[Path, dict[str, pl.DataFrame]]) -> None:
    folder, whole = catalogue
    assert tables_in(folder) == sorted(whole, key=lambda name: (list(PUBLISHED).index(name.split(".")[0]), name))
    for name, frame in whole.items():
        found = read_table(folder / f"{name}.parquet")
        assert found.schema == table_schema(name)
        if not name.endswith(".small"):
            assert found.equals(frame), name


def test_vectors_kept_as_bytes_are_read_as_unit_vectors(catalogue: tuple[Path, dict[str, pl.DataFrame]]) -> None:
    folder, whole = catalogue
    card = read_card(folder / "activation_embeddings.small.parquet")
    assert card == SMALL
    for name, column in (("explanation_embeddings", "embedding"), ("activation_embeddings", "embeddings")):
        found, exact = (
            frame[column] if column == "embedding" else frame[column].explode(empty_as_null=False)
            for frame in (read_table(folder / f"{name}.small.parquet"), whole[name])
        )
        assert (np.einsum("nd,nd->n", vectors_of(found), vectors_of(exact)) > 0.999).all()
        assert pl.read_parquet(folder / f"{name}.small.parquet").estimated_size() < whole[name].estimated_size()


def test_pyarrow_and_duckdb_read_the_same(catalogue: tuple[Path, dict[str, pl.DataFrame]]) -> None:
    folder, whole = catalogue
    for name in PUBLISHED:
        path = folder / f"{name}.parquet"
        arrow = pl.from_arrow(pq.read_table(path))
        assert isinstance(arrow, pl.DataFrame)
        assert arrow.schema == PUBLISHED[name]
        assert arrow.equals(whole[name])
        rows = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
        columns = [column[0] for column in duckdb.sql(f"SELECT * FROM read_parquet('{path}')").description or ()]
        assert columns == list(PUBLISHED[name])
        assert rows == [tuple(_plain(value) for value in row) for row in whole[name].rows()]
        assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"


def _plain(value: object) -> object:
    return [_plain(one) for one in value] if isinstance(value, list) else value


def test_metadata_says_schema_version_and_embedder(catalogue: tuple[Path, dict[str, pl.DataFrame]]) -> None:
    told = pq.read_schema(catalogue[0] / "explanation_embeddings.parquet").metadata
    expected = {"schema_version": "1", "embedder": "fake", "embedder_revision": "1", "dimension": "16", "int8": "false"}
    assert {name: told[f"saeflow.{name}".encode()].decode() for name in expected} == expected
    assert b"saeflow.embedder" not in pq.read_schema(catalogue[0] / "features.parquet").metadata


def test_categoricals_join_across_files(catalogue: tuple[Path, dict[str, pl.DataFrame]]) -> None:
    folder, _ = catalogue
    main, embeddings, scores = (
        read_table(folder / f"{name}.parquet") for name in ("features", "explanation_embeddings", "scores")
    )
    joined = main.cast({"feature_id": pl.UInt32}).join(embeddings, on=["feature_id", "sae_id", "llm_explainer"])
    assert joined.height == main.height == 24
    assert joined.join(scores, on=["feature_id", "sae_id"]).height == 24
    named = main.explode("semantic_similarity").unnest("semantic_similarity").select("feature_id", "explainer")
    assert named.join(main, left_on=["feature_id", "explainer"], right_on=["feature_id", "llm_explainer"]).height == 24


def test_a_feature_is_read_without_the_others(tmp_path: Path, catalogue: tuple[Path, dict[str, pl.DataFrame]]) -> None:
    examples = catalogue[1]["activation_examples"]
    parts = examples.partition_by("feature_id", maintain_order=True)
    write_file(tmp_path / "activation_examples.parquet", parts, examples.schema, Card())
    found = scan_table(tmp_path / "activation_examples.parquet").filter(pl.col("feature_id") == 8).collect()
    assert found.equals(examples.filter(feature_id=8))
    assert pq.read_metadata(tmp_path / "activation_examples.parquet").num_row_groups == len(parts)


def test_blocks_may_have_names_of_their_own(tmp_path: Path) -> None:
    scores = tables()["scores"]
    names = ("one/layer_0", "two/layer_1", "one/layer_0")
    blocks = [scores.with_columns(pl.lit(name).cast(pl.Categorical).alias("sae_id")) for name in names]
    write_tables(tmp_path / "new", {"scores": iter(blocks), "features": iter(())})
    assert read_table(tmp_path / "new" / "scores.parquet").equals(pl.concat(blocks))
    assert read_table(tmp_path / "new" / "features.parquet").height == 0


def _damaged(folder: Path, name: str) -> Path:
    path = folder / "features.parquet"
    frame = tables()["features"]
    current = {"saeflow.schema_version": "1"}
    if name == "version":
        frame.write_parquet(path, metadata={"saeflow.schema_version": "2"})
    elif name == "foreign":
        frame.write_parquet(path)
    elif name == "column":
        frame.drop("scores").write_parquet(path, metadata=current)
    elif name == "type":
        frame.cast({"feature_id": pl.UInt32}).write_parquet(path, metadata=current)
    elif name == "text":
        path.write_text("hello")
    return path


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("version", "has schema version 2, and this is saeflow with version 1; publish the catalogue again"),
        ("foreign", "says no schema version, .* or import the older tables"),
        ("column", "column 'scores' is missing; publish the catalogue again"),
        ("type", "column 'feature_id' is UInt32, and should be Int64; publish"),
        ("text", "cannot be read as Parquet"),
        ("missing", "is missing; publish"),
    ],
)
def test_another_table_is_told_in_one_line(tmp_path: Path, fault: str, said: str) -> None:
    path = _damaged(tmp_path, fault)
    with pytest.raises(BadInput, match=said) as told:
        read_table(path)
    assert str(told.value).startswith(str(path))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop("llm_explainer"), r"columns are missing \(llm_explainer\)"),
        (lambda frame: frame.with_columns(more=1), r"columns \['more'\] are not declared"),
        (lambda frame: frame.cast({"feature_id": pl.Int64}), "column 'feature_id' is Int64, and should be UInt32"),
        (lambda frame: frame.with_columns(sae_id=pl.lit(None, pl.Categorical)), "column 'sae_id' has nulls"),
        (
            lambda frame: frame.with_columns(pl.col("embedding").list.head(3)),
            "column 'embedding' has vectors of other dimensions than 16",
        ),
    ],
)
def test_a_wrong_table_is_not_written(tmp_path: Path, change: object, said: str) -> None:
    wrong = change(tables()["explanation_embeddings"])  # type: ignore[operator]
    with pytest.raises(BadInput, match=f"explanation_embeddings.parquet: {said}"):
        write_tables(tmp_path / "new", {"scores": tables()["scores"], "explanation_embeddings": wrong}, cards())
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over_and_no_other_table(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="is there already"):
        write_tables(tmp_path / "old", tables(), cards())
    with pytest.raises(BadInput, match="table 'feature': there is none of that name; name one of features"):
        write_tables(tmp_path / "new", {"feature": tables()["features"]})


def test_a_fault_half_way_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    whole = tables()

    def broken() -> Iterator[pl.DataFrame]:
        yield whole["activation_examples"]
        raise RuntimeError("the block after this one is lost")

    with pytest.raises(RuntimeError, match="is lost"):
        write_tables(tmp_path / "mine", {"scores": whole["scores"], "activation_examples": broken()}, cards())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_one_line() -> None:
    frame = tables()["scores"]
    said = r"/dev/full: cannot be written \(the disk is full\); nothing was replaced"
    with pytest.raises(BadInput, match=said) as told:
        write_file(Path("/dev/full"), frame, frame.schema, Card())
    assert "\n" not in str(told.value)


CHILD = """
import os, resource, signal, sys
from pathlib import Path
from core.errors import BadInput
from core.explain.published import write_tables
from tests.core.explain.published_catalogue import cards, tables
whole = tables()
def blocks():
    yield whole["activation_examples"]
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    yield from [whole["activation_examples"]] * 50
if sys.argv[2] == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    write_tables(Path(sys.argv[1]), {"scores": whole["scores"].head(1), "activation_examples": blocks()})
except BadInput as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ["kill", "full"])
def test_neither_a_kill_nor_a_file_that_may_not_grow_leaves_tables(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "mine"
    words = [sys.executable, "-c", CHILD, str(folder), ending]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    if ending == "kill":
        assert done.returncode == -signal.SIGKILL
    else:
        assert "activation_examples.parquet: cannot be written" in done.stdout, done.stderr
        assert list(tmp_path.iterdir()) == []
    assert not folder.exists()
    write_tables(folder, {"scores": tables()["scores"]})
    assert tables_in(folder) == ["scores"]
