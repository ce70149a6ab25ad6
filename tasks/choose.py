"""The SAE of a layer that the analyses use, where a study trains several."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from core.errors import BadInput
from core.sae.choice import choose
from core.store.artifacts import MANIFEST, read_json
from tasks.context import Work

CHOICE = "choice.json"
"""The file that says which variant was chosen, and among which."""


def choose_sae(work: Work) -> Mapping[str, float]:
    """Take the layer's SAE of the chosen variant over, file by file, and write down what it was chosen from.

    A frozen dictionary is taken of the same variant as the SAE: frozen ones have no say in the choice.
    """
    variants: list[str] = work.recipe["variants"]
    folders = work.inputs("candidates")
    rows = [_row(folder, place, variants) for place, folder in enumerate(folders)]
    table = pl.DataFrame(rows, schema_overrides={"held_out_fvu": pl.Float64})
    chosen = choose(table, work.recipe["choose"])
    takes = work.inputs("frozen") if "frozen" in work.unit.inputs else folders
    source = takes[work.recipe["place"] * len(variants) + variants.index(chosen)]
    for name in read_json(source / MANIFEST)["files"]:
        _take(source / name, work.out / name)
    words = {"variant": chosen, "rule": work.recipe["choose"], "variants": variants}
    (work.out / CHOICE).write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
    return _metrics(source)


def _row(folder: Path, place: int, variants: list[str]) -> dict[str, object]:
    metrics = _metrics(folder)
    if "held_out_rows" not in metrics:
        raise BadInput("sae.choose: no row is held out to compare SAEs on; give data.splits a `select` share")
    fvu, l0 = metrics.get("held_out_fvu"), metrics["held_out_l0"]  # identical rows have no FVU
    return {"variant": variants[place % len(variants)], "held_out_fvu": fvu, "held_out_l0": l0}


def _metrics(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def _take(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # the same bytes, once on the disk
    except OSError:
        shutil.copyfile(source, target)
