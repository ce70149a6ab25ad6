"""The page of every file and column that a study leaves: `python -m infra.outputs_page WORKSPACE > docs/outputs.md`.

Files, columns and types are read from a finished workspace; their words from `outputs_words.yaml`.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import yaml

from core.planning.steps import STEPS

_HEAD = """# Outputs

Everything lies in the workspace: `artifacts/<step>/<fingerprint>/` (one folder per unit), `reports/<study>/report.html`
(the latest report; a variant's in `reports/<study>+<settings>`, a layer's in `reports/<study>+layer=<layer>`),
`logs/<step>/<fingerprint>.log` (a log per unit), `logs/pipeline/<study>.log` (one per study, for all its runs: at most
2 MB, and four earlier ones), `studies/<key>.json` (what a study refers to),
`accounting/<study>.jsonl` and `<study>.units.jsonl` (what jobs held and units used), `running/` (study runs that go
on), `mlflow.db` and `mlartifacts/`, `prefect/`. Every folder of an artefact has `manifest.json` (recipe, provenance,
size and SHA-256 of each file and of itself). Beside it lie `checked.json` ([what each file held when it was
read](concepts.md#damaged-files)) and `prefect.json` (Prefect's record), which are not in the manifest. Matrices are
safetensors or .npy, tables Parquet, words JSON; nothing is a pickle. This page is made from a finished run:
`python -m infra.outputs_page WORKSPACE > docs/outputs.md`.

Intervals are 95 %, over images unless it is said otherwise; a null says that the figure does not exist there.
"""
_WORDS = yaml.safe_load(Path(__file__).with_name("outputs_words.yaml").read_text(encoding="utf-8"))
_EVERYWHERE = ("manifest.json", "prefect.json", "checked.json")


def page(workspace: Path) -> str:
    """The Markdown page, from the artefacts of each step."""
    parts = [_HEAD]
    for step in STEPS:
        places = sorted((workspace / "artifacts" / step).glob("[!.]*"))
        if places:
            parts.append(_step(step, places))
    return "\n".join(parts).rstrip() + "\n"


def _step(step: str, folders: Sequence[Path]) -> str:
    """Every file that some artefact of the step has, as the first that has it."""
    found = {
        _family(path, folder): folder
        for folder in reversed(folders)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in _EVERYWHERE
    }
    return "\n".join([f"\n## {step}\n", *(line for name in sorted(found) for line in _file(name, found[name]))])


def _family(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    name = re.sub(r"layer_\d+\.\w+\.safetensors", "layer_L.G.safetensors", name)
    name = re.sub(r"^images/.*", "images/*", name)
    return re.sub(r"^figures/(.*)\.(json|html|png)$", r"figures/\1.{json,html,png}", name)


def _file(name: str, folder: Path) -> list[str]:
    if name.startswith("figures/"):
        return [f"- `{name}`: a figure as Vega-Lite, as a page of its own, and as an image"]
    where = f"{folder.parent.name}/{name}"
    head = f"- `{name}`: {_WORDS['files'].get(where, _WORDS['files'].get(name, '?'))}"
    if not name.endswith(".parquet"):
        return [head]
    words = {**_WORDS["columns"], **_WORDS["here"].get(where, {})}
    schema = pl.scan_parquet(folder / name, glob=False).collect_schema()
    return [head, *(f"  - `{column}` ({_type(kind)}): {words.get(column, '?')}" for column, kind in schema.items())]


def _type(kind: pl.DataType) -> str:
    return str(kind).lower().replace("string", "str")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    print(page(parser.parse_args().workspace), end="")
