"""Apply the listed changes one at a time, and say which no test of tests/promises notices.

python -m tests.promises.mutants            all of them
python -m tests.promises.mutants ablation   those whose promise, file or test names the word
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from tests.promises import listed
from tests.promises.mutation import Mutant

PROJECT = Path(__file__).resolve().parents[2]
_COPIED = ("core", "tests", "infra", "deployments", "tasks", "flows", "cli", "saeflow", "pyproject.toml")
LIMIT_S = 300


def known() -> list[Mutant]:
    """Every listed change, by module and in its order."""
    modules = (import_module(f"{listed.__name__}.{module.name}") for module in iter_modules(listed.__path__))
    return [mutant for module in modules for mutant in module.MUTANTS]


def copy_of_the_project(folder: Path) -> Path:
    """A copy to break; the project itself stays as it is."""
    for name in _COPIED:
        source = PROJECT / name
        copied = shutil.copytree if source.is_dir() else shutil.copy2
        copied(source, folder / name)
    return folder


def notices(root: Path, mutant: Mutant) -> bool:
    """Whether the tests fail on the changed copy."""
    before = mutant.apply(root)
    try:
        return not passes(root, f"tests/promises/{mutant.tests}")
    finally:
        (root / mutant.file).write_text(before, encoding="utf-8")


def passes(root: Path, tests: str) -> bool:
    """Whether some tests pass in a copy; a change that makes them run for minutes is noticed as well."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", tests]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return False
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"{tests} could not be run: {ended.stdout.decode()[-800:]}{ended.stderr.decode()[-800:]}")
    return ended.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", nargs="?", default="", help="only changes whose promise, file or test names it")
    word = parser.parse_args().word
    chosen = [one for one in known() if any(word in text for text in (one.breaks, one.file, one.tests))]
    with tempfile.TemporaryDirectory() as folder:
        root = copy_of_the_project(Path(folder))
        for tests in sorted({one.tests for one in chosen}):
            if not passes(root, f"tests/promises/{tests}"):
                sys.exit(f"tests/promises/{tests} fails on the code as it is; look at that first")
        survivors = []
        for number, mutant in enumerate(chosen, 1):
            noticed = notices(root, mutant)
            survivors += [] if noticed else [mutant]
            print(f"{number}/{len(chosen)} {'noticed ' if noticed else 'SURVIVES'} {mutant.breaks}", flush=True)
    print(f"{len(survivors)} of {len(chosen)} changes survive")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
