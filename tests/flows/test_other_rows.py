"""Studies whose rows are no caption's tokens: a vision tower's patches, and a model that transformers does not know."""

import json
from pathlib import Path

import polars as pl
import pytest

from core.store.artifacts import ArtifactStore
from tests.databases import CopyDatabases
from tests.flows.commands import PROJECT, latest_report, saeflow_here
from tests.flows.test_mini import ANALYSES

pytestmark = pytest.mark.timeout(600)
FACTORY = ("model.path=null", "model.factory=tests.core.lm.set_models:load", "sae.k=4")


@pytest.mark.parametrize(
    ("changes", "layers", "width", "segment", "planned"),
    [
        (("capture.site=vision_post",), 4, 128, "image", "rows per layer"),
        (FACTORY, 3, 12, "item", "is its factory's affair"),
    ],
    ids=["vision tower", "factory"],
)
def test_they_go_from_samples_to_the_report(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefect_server: str,
    copy_databases: CopyDatabases,
    changes: tuple[str, ...],
    layers: int,
    width: int,
    segment: str,
    planned: str,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))  # where a user's own package would be named
    without = [f"analyses.{name}=null" for name in sorted(ANALYSES) if name != "evolution"]
    words = [word for change in (*changes, "capture.layers=all", *without) for word in ("--set", change)]
    assert planned in " ".join(saeflow_here(tmp_path, "plan", "mini", *words).stdout.split())
    copy_databases(tmp_path)
    result = saeflow_here(tmp_path, "run", "mini", *words, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    made: dict[str, list[Path]] = {}
    store = ArtifactStore(tmp_path / "artifacts")
    for artifact in store:
        made.setdefault(artifact.step, []).append(store.path(artifact))
    tokens = pl.concat(pl.read_parquet(shard / "tokens.parquet", glob=False) for shard in made["capture"])
    assert tokens["segment"].unique().to_list() == [segment]
    assert tokens["language"].null_count() == len(tokens)
    saes = [json.loads((folder / "cfg.json").read_text()) for folder in made["train_sae"]]
    assert [sae["d_in"] for sae in saes] == [width] * layers
    assert len(made["index_features"]) == layers
    assert "evolution" in made
    assert (latest_report(tmp_path) / "report.html").stat().st_size > 10_000
