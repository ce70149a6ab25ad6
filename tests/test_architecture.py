"""docs/architecture.md is the tree of today, and its example of an analysis runs."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import core.analysis
from core.analysis.registry import declared
from infra.file_map import PAGE, PROJECT, file_map, with_parts
from tests.core.features.planted_world import World, make_inputs

TEXT = PAGE.read_text(encoding="utf-8")
PAGES = [*sorted((PROJECT / "docs").rglob("*.md")), PROJECT / "README.md", PROJECT / "CONTRIBUTING.md"]
EXAMPLE = "core/analysis/live_features"
"""The folder of the analysis that the page shows; it is not in the tree, nor is its test."""
SHOWN = (EXAMPLE, "tests/core/analysis/test_live_features.py", "core/analysis/NAME")


def test_rooms_floors_and_file_map_are_those_of_today() -> None:
    assert with_parts(TEXT) == TEXT, "python -m infra.file_map"


def test_every_file_of_the_house_says_what_it_is() -> None:
    assert "core/planning/graph.py " in file_map()
    assert "cli/main.py " in file_map()


def test_files_that_the_guide_names_are_there() -> None:
    folders = "core|tasks|flows|cli|explorer|saeflow|infra|tests|benchmarks|deployments"
    path = re.compile(rf"(?<![\w/.])(?:{folders})/[\w/-]+\.\w+")
    for page in PAGES:
        named = {name for name in path.findall(page.read_text(encoding="utf-8")) if not name.startswith(SHOWN)}
        assert sorted(name for name in named if not (PROJECT / name).is_file()) == [], page.name


def test_links_of_the_guide_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                place, _, anchor = target.partition("#")
                other = (page.parent / place).resolve() if place else page
                assert other.exists(), f"{page.name}: {target}"
                assert not anchor or anchor in _anchors(other), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


def _looked_for() -> list[tuple[str, str]]:
    """File and name of each row of the table of things that one looks for."""
    table = TEXT.partition("## Where to find it")[2].partition("\n## ")[0]
    found = []
    for row in table.splitlines()[4:]:
        file = ""
        for word in re.findall(r"`([^`]+)`", row):
            file = word if "/" in word else file
            found += [] if "/" in word else [(file, word)]
    return found


def test_the_names_one_looks_for_are_where_the_table_says() -> None:
    assert len(_looked_for()) > 25
    for file, name in _looked_for():
        body: list[ast.stmt] = ast.parse((PROJECT / file).read_text(encoding="utf-8")).body
        for part in name.split("."):
            there = {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
            assert part in there, f"{file}: {name}"
            body = there[part].body


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The files that the page shows, in a folder that the registry takes for one of core/analysis."""
    blocks = re.findall(rf"`{EXAMPLE}/(\w+\.py)`[^`]*(?:`[^`]+`[^`]*)*?\n\n```python\n(.*?)```", TEXT, re.DOTALL)
    assert [name for name, _ in blocks] == ["__init__.py", "run.py", "figures.py"]
    folder = tmp_path / Path(EXAMPLE).name
    folder.mkdir()
    for name, code in blocks:
        (folder / name).write_text(code, encoding="utf-8")
    monkeypatch.setattr(core.analysis, "__path__", [*core.analysis.__path__, str(tmp_path)])
    declared.cache_clear()
    yield
    declared.cache_clear()
    for name in [name for name in sys.modules if name.startswith(EXAMPLE.replace("/", "."))]:
        del sys.modules[name]


def test_the_example_of_an_analysis_runs(example: None) -> None:
    world = make_inputs(World())
    analysis = declared()["live_features"]
    result = analysis.load_run()(world, analysis.config())
    alive = [int((world.open_layer(layer).index.features["max"] > 0).sum()) for layer in world.layers]
    assert result.tables["live"].rows() == list(zip(world.layers, alive, strict=True))
    drawn = analysis.load_figures()(result.tables)
    assert set(drawn) == {"live"} and drawn["live"].chart.to_dict()
