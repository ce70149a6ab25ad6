"""The folder that holds everything saeflow makes: artefacts, logs, reports, databases and what studies refer to."""

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.store.artifacts import Artifact, ArtifactStore
from core.store.lineage import look
from core.store.units import Unit
from core.study.variant import is_called


@dataclass(frozen=True)
class Records:
    """What a workspace remembers of one sort of run that is no study: a JSON file a run, with every artefact that it
    refers to; `needed` are the fields that each has."""

    folder: Path
    needed: tuple[str, ...]

    def remember(self, key: str, record: Mapping[str, Any]) -> Path:
        """Record what a run refers to (`artifacts`, a list of references), so that `gc` keeps it."""
        return _write_record(self.path(key), record)

    def path(self, key: str) -> Path:
        """The file of one record."""
        return self.folder / f"{key}.json"

    def all(self) -> list[dict[str, Any]]:
        """What was remembered, the latest first.

        Raises:
            BadInput: a record is damaged.
        """
        return _read_records(self.folder, self.needed)


@dataclass(frozen=True)
class Workspace:
    """A workspace below `root`."""

    root: Path

    @property
    def store(self) -> ArtifactStore:
        """The artefacts."""
        return ArtifactStore(self.root / "artifacts")

    @property
    def hashes(self) -> Path:
        """The memo of file hashes."""
        return self.root / "hashes.json"

    @property
    def studies(self) -> Path:
        """One JSON file a study ever run here, with every artefact it refers to."""
        return self.root / "studies"

    @property
    def scans(self) -> Records:
        """What concept scans refer to."""
        return Records(self.root / "scans", ("scan", "ranking", "report"))

    @property
    def catalogues(self) -> Records:
        """What feature catalogues refer to."""
        return Records(self.root / "catalogue-records", ("catalogue", "tables"))

    @property
    def answers(self) -> Path:
        """The answers of chat models, which were paid for."""
        return self.root / "chat" / "answers.sqlite"

    def report(self, folder: str) -> Path:
        """Where the latest report of a study, or of one of its variants, is found; `folder` is the study's."""
        return self.root / "reports" / folder

    def check_writable(self) -> None:
        """Make the workspace and try to write into it.

        Raises:
            BadInput: it cannot be made or written to.
        """
        probe = self.root / f".probe-{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_text("x")
            probe.unlink()
        except OSError as error:
            raise BadInput(
                f"workspace {self.root}: cannot be written to ({error.strerror}); choose another with --workspace"
            ) from error

    def samples_summary(self, prepare: Unit) -> dict[str, Any] | None:
        """The summary of the prepared samples, or null while they are not there."""
        if not self.store.intact(prepare.artifact):
            return None
        text = (self.store.path(prepare.artifact) / "summary.json").read_text(encoding="utf-8")
        summary: dict[str, Any] = json.loads(text)
        return summary

    def remember(self, key: str, record: Mapping[str, Any]) -> Path:
        """Record what a variant of a study refers to (`artifacts`, a list of references), so that `gc` keeps it and
        `status` shows it."""
        return _write_record(self.record(key), record)

    def record(self, key: str) -> Path:
        """The file of one record."""
        return self.studies / f"{key}.json"

    def records(self) -> list[dict[str, Any]]:
        """What was remembered of every study, the latest first.

        Raises:
            BadInput: a record is damaged; without it nobody knows what that study still needs.
        """
        return _read_records(self.studies)

    def all_records(self) -> list[dict[str, Any]]:
        """What was remembered of every study, concept scan and catalogue.

        Raises:
            BadInput: a record is damaged.
        """
        return [*self.records(), *self.scans.all(), *self.catalogues.all()]

    def present(self, units: Iterable[Unit]) -> frozenset[Artifact]:
        """The artefacts of these units that are there, as their manifests say."""
        return look(self.store, units).whole

    def drop_dangling(self) -> list[str]:
        """Remove the links to reports and catalogues that are no more, and name them, as `reports/demo`."""
        dangling = [link for link in self._published() if link.is_symlink() and not link.exists()]
        for link in dangling:
            link.unlink()
        return [str(link.relative_to(self.root)) for link in dangling]

    def published_among(self, artifacts: Iterable[Artifact]) -> list[str]:
        """The published reports and catalogues that are one of these artefacts."""
        places = {self.store.path(artifact) for artifact in artifacts}
        return [str(link.relative_to(self.root)) for link in self._published() if link.resolve() in places]

    def _published(self) -> list[Path]:
        return sorted(link for folder in ("reports", "catalogues") for link in (self.root / folder).glob("*"))

    def publish_report(self, folder: str, report: Artifact) -> Path:
        """Point `reports/<folder>` at a study's report and return the HTML file's place."""
        return self._point(self.report(folder), report) / "report.html"

    def published_catalogue(self, folder: str) -> Path:
        """Where the latest tables of a catalogue are found."""
        return self.root / "catalogues" / folder

    def publish_catalogue(self, folder: str, tables: Artifact) -> Path:
        """Point `catalogues/<folder>` at the tables of a catalogue, all of them at once."""
        return self._point(self.published_catalogue(folder), tables)

    def _point(self, link: Path, artifact: Artifact) -> Path:
        """Point a link at an artefact; whoever reads sees the one before or this one."""
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_dir() and not link.is_symlink():  # a workspace copied without its links; nothing of it is lost
            link.rename(link.with_name(f"{link.name}.copied-{time.time_ns()}"))
        temporary = link.with_name(f".{link.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(self.store.path(artifact), link.parent))
        temporary.replace(link)
        return link


def meant(records: Iterable[Mapping[str, Any]], asked: str) -> list[Mapping[str, Any]]:
    """The records that somebody may mean, in their order.

    A key, a title or a report's folder is one variant's. A study's name is the study as its file has it, and where that
    has not run, all its variants.
    """
    known = list(records)
    exact = [one for one in known if one["key"] == asked or is_called(asked, named(one))]
    return exact or [one for one in known if one["study"]["name"] == asked and "layer" not in one]


def named(record: Mapping[str, Any]) -> dict[str, Any]:
    """The study of a record as `core.study.variant` names it: with its layer, where the record is of one."""
    layer = {"layer": record["layer"]} if "layer" in record else {}
    return {**record["study"], **layer}


def _write_record(path: Path, record: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps({**record, "time": time.time()}, indent=1, ensure_ascii=False)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path


def _read_records(folder: Path, needed: Sequence[str] = ()) -> list[dict[str, Any]]:
    found = [_read_record(path, needed) for path in folder.glob("[!.]*.json")]
    return sorted(found, key=lambda record: -record["time"])


def _read_record(path: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    try:
        record = {"key": path.stem, **json.loads(path.read_text("utf-8"))}
        if missing := next((field for field in needed if field not in record), None):
            raise ValueError(f"no {missing!r}")
        return {**record, "time": float(record["time"]), "artifacts": list(record["artifacts"])}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{path}: damaged ({error}); remove it and run its study again") from error
