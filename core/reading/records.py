"""Studies that have run in a workspace, found by what they are called."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.reading.made import FROZEN, FROZEN_DECODERS
from core.reading.study import OpenedStudy
from core.store.artifacts import Artifact
from core.store.workspace import Workspace, meant


def open_by_name(workspace: Workspace, name: str) -> OpenedStudy:
    """The study of that name as its file has it; the variant of that title, key or report's folder; or else the study's
    latest variant. Of several, the latest that has its report. Title and key of frozen dictionaries open these.

    Raises:
        BadInput: no such study has run here, it has no frozen dictionaries, or a record of the workspace is damaged.
    """
    records = workspace.records()
    plain = without_frozen(name)
    wanted = Path(plain).stem if plain.endswith((".yaml", ".yml")) else plain
    found = [opened(workspace, one) for one in meant(records, wanted)]
    if not found:
        raise _not_run(workspace, name, records)
    if plain != name:
        found = [study.frozen for study in found if study.frozen is not None]
    if not found:
        raise BadInput(f"study {plain!r}: has no frozen dictionaries; `sae.frozen: true` trains them")
    return next((study for study in found if study.finished), found[0])


def without_frozen(name: str) -> str:
    """The title or key of the study beside whose SAEs frozen dictionaries are."""
    return name.removesuffix(FROZEN_DECODERS).removesuffix(FROZEN)


def with_frozen(study: OpenedStudy) -> list[OpenedStudy]:
    """The study, and behind it the same with its frozen dictionaries, where it has some."""
    return [study] if study.frozen is None else [study, study.frozen]


def records_of(workspace: Workspace, asked: str) -> list[Mapping[str, Any]]:
    """The records of a study with all its variants, the latest first; or the one whose key, title or folder is asked.

    Raises:
        BadInput: no such study has run here, or a record of the workspace is damaged.
    """
    records, plain = workspace.records(), without_frozen(asked)
    found: list[Mapping[str, Any]] = [one for one in records if one["study"]["name"] == plain]
    found = found or meant(records, plain)
    if not found:
        raise _not_run(workspace, asked, records)
    return found


def opened(workspace: Workspace, record: Mapping[str, Any]) -> OpenedStudy:
    """The study of a workspace's record."""
    artifacts = tuple(map(Artifact.from_ref, record["artifacts"]))
    report, page = Artifact.from_ref(record["report"]), str(record.get("mlflow") or "")
    own = OpenedStudy(workspace, record["key"], record["study"], artifacts, report, record.get("layer"), page)
    return replace(own, recorded=float(record.get("time") or 0))


def _not_run(workspace: Workspace, name: str, records: Iterable[Mapping[str, Any]]) -> BadInput:
    wanted = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    return BadInput(f"study {name!r}: has not run in {workspace.root}; {_hint(wanted, records)}")


def _hint(name: str, records: Iterable[Mapping[str, Any]]) -> str:
    known = list(dict.fromkeys(str(record["study"]["name"]) for record in records))
    if near := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {near[0]}?"
    return f"run it: saeflow run {name}" + (f" (studies here: {', '.join(known)})" if known else "")
