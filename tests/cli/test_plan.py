"""`saeflow plan` of a table: its length, what cannot be used, and captions in the wrong script."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.core.data.table_files import captions, png, write_jsonl

PROJECT = Path(__file__).resolve().parents[2]


def test_the_plan_reads_the_table(tmp_path: Path) -> None:
    texts = captions(40)
    rows = [{"image": f"{n}.png", **{name: text[n] for name, text in texts.items()}} for n in range(40)]
    for number in range(2, 40):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    rows[0]["image"] = "a" * 300
    rows[5]["caption_en"] = rows[5]["caption_ar"]
    write_jsonl(tmp_path / "t.jsonl", rows)
    model = PROJECT / "deployments" / "models" / "scene-captioner"
    study = {"name": "mine", "data": {"source": "table", "path": "t.jsonl"}, "model": {"path": str(model)}}
    (tmp_path / "mine.yaml").write_text(json.dumps(study))
    environment = {**os.environ, "SAEFLOW_WORKSPACE": str(tmp_path / "workspace"), "COLUMNS": "200"}
    words = [sys.executable, "-m", "cli", "plan", str(tmp_path / "mine.yaml"), "--set", "data.max_dropped_fraction=0.1"]
    result = subprocess.run(
        words, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    told = " ".join(result.stdout.split())
    assert result.returncode == 0, result.stderr
    assert "data.path: 40 rows; 2 of them cannot be used (image 2)" in told
    assert "at most 38 samples, about" in told
    assert "column 'caption_en' (English): 1 of 38 rows (2.6%; rows 6) have captions in Arabic script" in told
