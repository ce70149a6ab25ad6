"""Where a study's table lies and what it holds, its pictures included."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core.data.sources import source_files
from core.planning.located import Reader, Sources
from core.planning.places import ANYWHERE, find_first
from core.planning.study import Study
from core.study.data import TableSource


def pin_data(study: Study, bases: Sequence[Path]) -> Study:
    """The study with the absolute place of its table.

    Raises:
        BadInput: the table is nowhere.
    """
    data = study.data
    if not isinstance(data, TableSource):
        return study
    place = str(find_first(data.path, bases, "data.path"))
    return study.model_copy(update={"data": data.model_copy(update={"path": place})})


def read_data(study: Study, found: Sources, reader: Reader) -> Sources:
    """Add the content of the samples, and the folder that the table's paths start at.

    Raises:
        BadInput: the table is missing.
    """
    base = found.data_base
    if isinstance(study.data, TableSource):
        base = find_first(study.data.path, ANYWHERE, "data.path").parent
    return replace(found, data=reader.memo.sha256_all(source_files(study.data, base)), data_base=base)
