"""Keeps a step's version honest: a digest of the code that decides its result, recorded for each version.

`python -m core.planning.versions` tells what changed; `--record` writes the digests down after the version was bumped,
and `--same-result STEP "why"` where a change leaves the result as it was.
"""

import argparse
import ast
import hashlib
import json
from functools import cache
from pathlib import Path

from core.analysis.registry import foreign
from core.planning.steps import STEPS
from core.store.artifacts import sha256_file
from core.store.steps import StepSpec

_PROJECT = Path(__file__).resolve().parents[2]
_RECORD = Path(__file__).with_name("step_versions.json")


def closure(roots: tuple[str, ...]) -> list[str]:
    """Every module of `core` that these modules reach by imports, themselves included, in order of name."""
    seen: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in seen or not name.startswith("core") or _file(name) is None:
            continue
        seen.add(name)
        pending.extend(_imports(_text(name)))
    return sorted(seen)


def digest(spec: StepSpec) -> str:
    """A hash of the step's code: names, numbers and structure, but no comment, docstring or layout."""
    names = closure(spec.roots)
    lines = [f"{name} {_structure(_text(name))}" for name in names]
    lines += [f"{path.name} {sha256_file(path)}" for path in _data_files(names)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:20]


def _data_files(names: list[str]) -> list[Path]:
    """The JSON that lies in folders beside these modules: lexicons, sprite positions."""
    folders = {path.parent for name in names if (path := _file(name)) is not None}
    return sorted(
        path for folder in folders for path in folder.glob("*/*.json") if not (path.parent / "__init__.py").is_file()
    )


def changed_steps() -> list[str]:
    """Steps whose code changed though their version did not, or whose version was bumped but not recorded."""
    recorded = json.loads(_RECORD.read_text(encoding="utf-8"))
    return [
        name
        for name, spec in _own_steps().items()
        if recorded.get(name, {}).get("digest") != digest(spec) or recorded[name]["version"] != spec.version
    ]


def _own_steps() -> dict[str, StepSpec]:
    """Steps of this repository: a package's code is known by its version."""
    return {name: spec for name, spec in STEPS.items() if name not in foreign()}


def _file(name: str) -> Path | None:
    base = _PROJECT / name.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _text(name: str) -> str:
    path = _file(name)
    assert path is not None
    return path.read_text(encoding="utf-8")


@cache  # most modules are many steps'
def _structure(text: str) -> str:
    return ast.dump(_without_docstrings(ast.parse(text)))


@cache
def _imports(text: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [item for item in body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
            node.body = kept  # type: ignore[attr-defined]
    return tree


def _record(same: list[str] | None) -> str:
    """Write down what may be; a step whose code moved under the same version is left as it was, and named."""
    recorded = json.loads(_RECORD.read_text(encoding="utf-8")) if _RECORD.is_file() else {}
    left = []
    for name, spec in _own_steps().items():
        entry = {"version": spec.version, "digest": digest(spec)}
        before = recorded.get(name, entry)
        moved = before["digest"] != entry["digest"] and before["version"] == entry["version"]
        if moved and (same is None or same[0] not in (name, "all")):
            left.append(name)
            continue
        why = same[1] if moved and same else before.get("same_result") if before.items() >= entry.items() else None
        recorded[name] = {**entry, **({"same_result": why} if why else {})}
    _RECORD.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fix = "bump its version where it is declared, or --same-result STEP 'why'"
    return "\n".join(f"{name}: its code changed; {fix}" for name in left) or "recorded"


def _main() -> str:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the digests down")
    parser.add_argument(
        "--same-result", nargs=2, metavar=("STEP", "WHY"), help="this change leaves results as they were"
    )
    arguments = parser.parse_args()
    if arguments.record or arguments.same_result:
        return _record(arguments.same_result)
    return "\n".join(changed_steps()) or "every step's code is as recorded"


if __name__ == "__main__":
    print(_main())  # noqa: T201  # a command's answer
