"""Apply the listed changes one at a time, and say which no test of tests/promises notices.

python -m tests.promises.mutants            all of them (about ten minutes on two cores)
python -m tests.promises.mutants ablation   those whose promise, file or test names the word
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import iter_modules

import pytest

from tests.promises import listed
from tests.promises.mutation import Mutant

PROJECT = Path(__file__).resolve().parents[2]
LIMIT_S = 900
_COPIED = ("core", "tests", "infra", "deployments", "tasks", "flows", "cli", "saeflow", "pyproject.toml")
# Imported once, before the copies are tested in children: what is slow to import and is none of the project's.
_SLOW = (
    *("numpy", "polars", "torch", "jaxtyping", "pydantic", "altair", "PIL.Image", "safetensors.numpy"),
    *("scipy.stats", "scipy.optimize", "scipy.sparse", "transformers", "transformers.cache_utils", "hypothesis"),
    *("sklearn.metrics", "sklearn.linear_model", "sklearn.discriminant_analysis", "sklearn.model_selection"),
)
_PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")


def known() -> list[Mutant]:
    """Every listed change, by module and in its order."""
    modules = (import_module(f"{listed.__name__}.{module.name}") for module in iter_modules(listed.__path__))
    return [mutant for module in modules for mutant in module.MUTANTS]


@contextmanager
def copies(count: int) -> Iterator[list[Path]]:
    """Copies of the project to break; the project itself stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder) / str(number) for number in range(count)]
        for root in roots:
            root.mkdir()
            for name in _COPIED:
                source = PROJECT / name
                if source.is_dir():
                    shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy2(source, root / name)
        yield roots


def forget_the_project() -> None:
    """What a child imports of the project comes from its copy."""
    for name in [name for name in sys.modules if name.partition(".")[0] in _COPIED]:
        del sys.modules[name]
    sys.path[:] = [place for place in sys.path if place not in ("", str(PROJECT))]


def run_tests(root: Path, tests: str, log: Path) -> None:
    """In a child: run a file of promises on a copy, and end with pytest's exit code."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(root)
    os.environ["PYTHONPATH"] = str(root)
    sys.path.insert(0, str(root))
    sys.dont_write_bytecode = True
    os._exit(int(pytest.main([*_PYTEST, f"tests/promises/{tests}"])))


@dataclass
class Bench:
    """Runs one test file a copy at a time; `free` are copies that nothing runs on."""

    free: list[Path]
    running: dict[BaseProcess, tuple[Path, str, float]] = field(default_factory=dict)

    def start(self, tests: str) -> tuple[BaseProcess, Path]:
        """Start a test file on a free copy, which the caller has changed or not."""
        root = self.free.pop()
        log = root.with_suffix(".log")
        child = get_context("fork").Process(target=run_tests, args=(root, tests, log))
        child.start()
        self.running[child] = (root, tests, time.monotonic())
        return child, root

    def wait(self) -> tuple[BaseProcess, bool]:
        """Wait for one of them: whether its tests passed; what runs for very long counts as noticed.

        Raises:
            RuntimeError: the tests could not be run at all.
        """
        while True:
            for child, (root, tests, began) in list(self.running.items()):
                child.join(0.05)
                late = time.monotonic() - began > LIMIT_S
                if child.exitcode is None and not late:
                    continue
                child.kill()
                child.join()
                del self.running[child]
                self.free.append(root)
                if not late and child.exitcode not in (0, 1):
                    words = root.with_suffix(".log").read_text("utf-8", "replace")[-1500:]
                    raise RuntimeError(f"tests/promises/{tests} could not be run: {words}")
                return child, not late and child.exitcode == 0


def check_as_is(bench: Bench, files: Sequence[str]) -> None:
    """Every file of promises holds on the code as it is, or the run ends."""
    waiting, names = list(files), {}
    while waiting or bench.running:
        while waiting and bench.free:
            child, _ = bench.start(waiting[-1])
            names[child] = waiting.pop()
        child, passed = bench.wait()
        if not passed:
            sys.exit(f"tests/promises/{names[child]} fails on the code as it is; look at that first")


def survivors(bench: Bench, chosen: Sequence[Mutant]) -> list[Mutant]:
    """The changes that no test notices; says each as it is known."""
    waiting, found, done = list(chosen), [], 0
    held: dict[BaseProcess, tuple[Mutant, Path, str]] = {}
    while waiting or held:
        while waiting and bench.free:
            mutant, root = waiting.pop(0), bench.free[-1]
            before = mutant.apply(root)
            child, _ = bench.start(mutant.tests)
            held[child] = (mutant, root, before)
        child, passed = bench.wait()
        mutant, root, before = held.pop(child)
        (root / mutant.file).write_text(before, encoding="utf-8")
        found += [mutant] if passed else []
        done += 1
        print(f"{done}/{len(chosen)} {'SURVIVES' if passed else 'noticed '} {mutant.breaks}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", nargs="?", default="", help="only changes whose promise, file or test names it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="copies that are tested at once")
    arguments = parser.parse_args()
    chosen = [one for one in known() if any(arguments.word in text for text in (one.breaks, one.file, one.tests))]
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in _SLOW:
        import_module(name)
    forget_the_project()
    with copies(arguments.jobs) as roots:
        bench = Bench(list(roots))
        check_as_is(bench, sorted({one.tests for one in chosen}))
        found = survivors(bench, chosen)
    print(f"{len(found)} of {len(chosen)} changes survive")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
