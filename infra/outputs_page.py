"""The page of every file and column that a study leaves: `python -m infra.outputs_page WORKSPACE > docs/outputs.md`.

Columns and types are read from a finished workspace; the words are here.
"""

import argparse
import re
from pathlib import Path

import polars as pl

from core.steps import STEPS

_HEAD = """# Outputs

Everything lies in the workspace: `artifacts/<step>/<fingerprint>/` (one folder a unit), `reports/<study>/report.html`
(the latest report), `logs/<step>/<fingerprint>.log`, `studies/<key>.json` (what a study refers to), `mlflow.db` and
`mlartifacts/`, `prefect/`. Every folder has `manifest.json` (recipe, provenance, size and SHA-256 of each file) and
`prefect.json` (Prefect's record; not in the manifest). Matrices are safetensors or .npy, tables Parquet, words JSON;
nothing is a pickle. This page is made from a finished run: `python -m infra.outputs_page WORKSPACE > docs/outputs.md`.

Columns that come back: `layer` (decoder layer, from 0) · `feature` (latent of that layer's SAE) · `language` (en, ar;
null where all languages share the row) · `position_set` (image, last-prompt, pre-gender, first-gendered,
later-gendered, other) · `low`, `high` (95 % interval over images) · `p`, `q` (p-value; after Benjamini–Hochberg) ·
`auroc` (area under the ROC curve, female against male) · `control` (what a random choice gives).
"""
_FILES = {
    "samples.parquet": "one row a sample",
    "dropped.parquet": "rows of the source that were left out (row counted from 1) and why",
    "truth.json": "what was planted, where the world is ours",
    "tokens.parquet": "one row a captured token; `group` and `row` say in which file and where its activation stands",
    "shard.json": "counts, captions left out, rows with NaN or Inf a layer",
    "layer_L.G.safetensors": "`activation` [T, D] bfloat16 of layer L for group G (shared, en, ar)",
    "health.json": "rows, NaN/Inf, norms, scale, share of the squared norm in the top 0.1 % of rows",
    "mean.safetensors": "`mean` [D] of the layer's rows",
    "sae_weights.safetensors": "`W_enc` [D, F], `W_dec` [F, D], `b_enc` [F], `b_dec` [D]: SAELens' layout",
    "sparsity.safetensors": "`sparsity` [F]: log10 of each feature's firing rate",
    "cfg.json": "SAELens' configuration",
    "history.parquet": "training curves, a row a logged step",
    "metrics.json": "final figures of the SAE, training and held out",
    "csr_indptr.npy": "rows' offsets [T+1]",
    "csr_features.npy": "active features, row by row [nnz]",
    "csr_values.npy": "their strengths [nnz]",
    "csc_indptr.npy": "features' offsets [F+1]",
    "csc_rows.npy": "rows a feature fires on, feature by feature [nnz]",
    "csc_values.npy": "their strengths [nnz]",
    "features.parquet": "statistics of each feature",
    "positions.parquet": "rate and strength of each feature by language and position set",
    "neighbours.parquet": "nearest decoder directions by cosine",
    "coactivation.parquet": "pairs of features that fire together",
    "summary.json": "counts, or headlines, metrics and notes of an analysis",
    "report.html": "the report, one file, no network",
    "report.md": "the same in Markdown, figures beside it",
}


def page(workspace: Path) -> str:
    """The Markdown page, from the first artefact of each step."""
    parts = [_HEAD]
    for step in STEPS:
        places = sorted((workspace / "artifacts" / step).glob("[!.]*"))
        if places:
            parts.append(_step(step, places[0]))
    return "\n".join(parts).rstrip() + "\n"


def _step(step: str, folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _EVERYWHERE)
    lines = [f"\n## {step}\n"]
    lines += [line for name in dict.fromkeys(_family(path, folder) for path in files) for line in _file(name, folder)]
    return "\n".join(lines)


_EVERYWHERE = ("manifest.json", "prefect.json")


def _family(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    name = re.sub(r"layer_\d+\.\w+\.safetensors", "layer_L.G.safetensors", name)
    name = re.sub(r"^images/.*", "images/*", name)
    return re.sub(r"^figures/(.*)\.(json|html|png)$", r"figures/\1.{json,html,png}", name)


def _file(name: str, folder: Path) -> list[str]:
    words = _FILES.get(name, "")
    head = f"- `{name}`" + (f": {words}" if words else "")
    if not name.endswith(".parquet"):
        return [head]
    schema = pl.read_parquet_schema(folder / name)
    return [head, "  " + ", ".join(f"`{column}` {_type(kind)}" for column, kind in schema.items())]


def _type(kind: pl.DataType) -> str:
    return str(kind).lower().replace("string", "str")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    print(page(parser.parse_args().workspace), end="")
