"""Back ends of installed packages: used where nothing faster is there, and told in one line where they are broken."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import BadInput
from core.features.backends.packages import GROUP
from core.features.open_store import open_store
from tests.flows.commands import PROJECT
from tests.packages import leave

GOOD = """
import numpy as np

class POINT:
    def __init__(self, folder):
        self.file = folder / "pairs.npy"

    def is_available(self):
        return self.file.is_file()

    def load(self, feature_id):
        pairs = np.load(self.file)
        return (pairs[0].astype(np.int64), pairs[1]) if feature_id == 7 else None
"""
LOAD = "class POINT:\n def __init__(self, folder): pass\n def is_available(self): return True\n def load(self, f): "


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    for name in ("saeflow_mine", "saeflow_other"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    np.save(tmp_path / "pairs.npy", np.array([[4, 9], [0.5, 2.0]], np.float32))
    return site


def test_a_package_s_back_end_reads_a_layout_of_its_own(site: Path, tmp_path: Path) -> None:
    leave(site, GROUP, "pairs", GOOD)
    store = open_store(tmp_path)
    rows, values = store.activations(7)
    assert store.backend == "pairs" and (rows.tolist(), values.tolist()) == ([4, 9], [0.5, 2.0])
    assert (rows.dtype, values.dtype) == (np.uint32, np.float32) and store.num_features is None
    with pytest.raises(BadInput, match=r"pairs in .*: has no feature 8$"):
        store.activations(8)
    assert store.examples(7).rows() == [(7, 2.0, 9), (7, 0.5, 4)]


@pytest.mark.parametrize(
    ("point", "code", "told"),
    [
        (
            "pairs",
            "import nobody_has_this",
            "of saeflow-mine 1.0: saeflow_mine:POINT cannot be imported (ModuleNotFound",
        ),
        ("pairs", "POINT = 3", "of saeflow-mine 1.0: is a int; it must take a folder and return a loader"),
        (
            "pairs",
            "def POINT(folder): raise OSError('first\\nsecond')",
            "of saeflow-mine 1.0: fails on {} (OSError: first)",
        ),
        ("pairs", "def POINT(folder): return 3", "of saeflow-mine 1.0: its loader has no is_available();"),
        ("Pairs", GOOD, "of saeflow-mine 1.0: an entry point's name must be lower-case letters, digits and _"),
        ("zarr", GOOD, "saeflow-mine registers a name that saeflow has; uninstall one of them, or rename"),
        (
            "pairs",
            GOOD.replace("self.file.is_file()", "1 / 0"),
            "of saeflow-mine: fails (ZeroDivisionError: division by",
        ),
    ],
)
def test_a_bad_package_is_told_in_one_line(site: Path, tmp_path: Path, point: str, code: str, told: str) -> None:
    leave(site, GROUP, point, code)
    with pytest.raises(BadInput) as raised:
        open_store(tmp_path)
    line = str(raised.value)
    assert line.startswith(f"back end {point}") and told.format(tmp_path) in line and "\n" not in line


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("return f['x']", "fails (TypeError: "),
        ("return [1, 2], [0.5]", "gives for feature 0 no row numbers with as many activations above 0"),
        ("return [1, 2], [0.5, 0.0]", "gives for feature 0 no row numbers with as many activations above 0"),
        ("return [0.5], [0.5]", "gives for feature 0 no row numbers with as many activations above 0"),
        ("return 3", "gives for feature 0 no row numbers with as many activations above 0"),
    ],
)
def test_what_a_package_reads_is_looked_at(site: Path, tmp_path: Path, answer: str, told: str) -> None:
    leave(site, GROUP, "pairs", LOAD + answer)
    with pytest.raises(BadInput) as raised:
        open_store(tmp_path).activations(0)
    assert str(raised.value).startswith(f"back end pairs of saeflow-mine: {told}")


def test_two_packages_of_one_name_are_refused(site: Path, tmp_path: Path) -> None:
    leave(site, GROUP, "pairs", GOOD)
    leave(site, GROUP, "pairs", GOOD, "saeflow-other")
    with pytest.raises(BadInput, match=r"^back end pairs: saeflow-other registers a name that saeflow-mine has"):
        open_store(tmp_path)


def test_a_broken_package_is_asked_only_where_nothing_faster_is_there(site: Path, tmp_path: Path) -> None:
    leave(site, GROUP, "pairs", "import nobody_has_this")
    place = tmp_path / "neuron_0000"
    place.mkdir()
    for name, array in (("idxs", np.array([3])), ("acts", np.array([1.5], np.float32))):
        np.save(place / f"{name}.npy", array)
    assert open_store(tmp_path).backend == "sparse-files"
    with pytest.raises(BadInput, match=r"^back end pairs of saeflow-mine 1\.0"):
        open_store(tmp_path, backend="pairs")


def test_the_back_end_that_the_docs_show_works(site: Path, tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "store.md").read_text("utf-8")
    (shown,) = re.findall(r"```python\n(import numpy.*?class Pairs.*?)```", page, re.DOTALL)
    leave(site, GROUP, "pairs", shown + "\nPOINT = Pairs\n")
    np.save(tmp_path / "pairs.npy", np.array([[7, 8, 7], [4, 5, 9], [0.5, 1.0, 2.0]]))
    rows, values = open_store(tmp_path).activations(7)
    assert (rows.tolist(), values.tolist()) == ([4, 9], [0.5, 2.0])
