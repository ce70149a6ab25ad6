"""A small change to one file that breaks a promise."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """One change.

    Args:
        breaks: the promise that it breaks, in words.
        file: the file, relative to the project.
        old: text that stands in the file exactly once.
        new: what stands there instead.
        tests: the test file that notices, relative to tests/promises.
    """

    breaks: str
    file: str
    old: str
    new: str
    tests: str

    def apply(self, root: Path) -> str:
        """Change the file under `root`; what it held before.

        Raises:
            ValueError: `old` is not there exactly once, so the list is out of date.
        """
        path = root / self.file
        before = path.read_text(encoding="utf-8")
        if before.count(self.old) != 1:
            raise ValueError(f"{self.breaks}: {self.old!r} stands {before.count(self.old)} times in {self.file}")
        path.write_text(before.replace(self.old, self.new), encoding="utf-8")
        return before
