"""How many captions of our own lists are labelled as a reader labels them: `python -m tests.core.data.label_accuracy`.

The rules were completed on labels/english.csv and labels/arabic.csv; no rule was changed on account of the lists of the
same names in labels/first_contact. Columns: `caption,gender,kind`. The tables printed here stand in docs/labels.md.
"""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from core.data.gender import label_caption
from core.data.languages import LANGUAGE_NAMES, LANGUAGES, Language
from core.stats.intervals import wilson

GENDERS = ("female", "male", "both", "neutral", "none")
FIRST_CONTACT = "first_contact"
_LISTS = Path(__file__).with_name("labels")


def labelled(language: Language, folder: str = "") -> pl.DataFrame:
    """A list of a language (en or ar): caption, gender (the reader's), kind, and `found`, the labeller's gender."""
    frame = pl.read_csv(_LISTS / folder / f"{LANGUAGE_NAMES[language].lower()}.csv")
    found = [label_caption(caption, language).gender for caption in frame["caption"]]
    return frame.with_columns(found=pl.Series(found, dtype=pl.String))


def accuracy(frame: pl.DataFrame, by: str) -> pl.DataFrame:
    """Captions, how many are right, and their share, for each value of the column `by`."""
    right = (pl.col("gender") == pl.col("found")).sum().alias("right")
    return (
        frame.group_by(by, maintain_order=True)
        .agg(pl.len().alias("captions"), right)
        .with_columns(share=pl.col("right") / pl.col("captions"))
    )


def _tables(language: Language) -> Iterable[str]:
    frame = labelled(language)
    yield f"### {LANGUAGE_NAMES[language]}: {frame.height} captions\n"
    yield f"| the reader's label | captions | right | {' | '.join(GENDERS)} |"
    yield "|---|---|---|" + "---|" * len(GENDERS)
    for gender in GENDERS:
        part = frame.filter(gender=gender)
        counts = [str(part.filter(found=found).height) for found in GENDERS]
        yield f"| {gender} | {part.height} | {_share(part)} | {' | '.join(counts)} |"
    yield "\n| kind | captions | right |\n|---|---|---|"
    for (kind,), part in frame.group_by("kind", maintain_order=True):
        yield f"| {kind} | {part.height} | {_share(part)} |"
    yield f"| all | {frame.height} | {_share(frame)} |\n"


def _first_contact() -> Iterable[str]:
    yield "| language | natural | hard | all |\n|---|---|---|---|"
    for language in LANGUAGES:
        frame = labelled(language, FIRST_CONTACT)
        parts = (frame.filter(kind="natural"), frame.filter(kind="hard"), frame)
        yield f"| {LANGUAGE_NAMES[language]} | {' | '.join(map(_with_interval, parts))} |"
    yield ""


def _with_interval(frame: pl.DataFrame) -> str:
    right = int((frame["gender"] == frame["found"]).sum())
    interval = wilson(right, frame.height)
    return f"{right} of {frame.height}: {_share(frame)} [{interval.low:.1%}, {interval.high:.1%}]"


def _share(frame: pl.DataFrame) -> str:
    return f"{(frame['gender'] == frame['found']).mean():.1%}" if frame.height else "–"


if __name__ == "__main__":
    print("\n".join([*_first_contact(), *(line for language in LANGUAGES for line in _tables(language))]))
