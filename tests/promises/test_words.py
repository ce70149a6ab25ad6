"""Analyses return numbers and noun phrases: what is claimed of them is the writer's to say."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
CLAIMS = re.compile(r"\b(moves|persists?|emerges|goes with|gives)\b", re.IGNORECASE)
FILES = sorted((PROJECT / "core" / "analysis").rglob("*.py"))


def strings(path: Path) -> list[str]:
    """Every string of a file, those inside f-strings and docstrings too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PROJECT)) for path in FILES])
def test_no_string_of_an_analysis_claims_an_effect(path: Path) -> None:
    assert [text for text in strings(path) if CLAIMS.search(text)] == []


def test_a_claim_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "run.py"
    path.write_text('x = 1\nsaid = f"gender emerges at layer {x}"\n', encoding="utf-8")
    assert any(CLAIMS.search(text) for text in strings(path))
