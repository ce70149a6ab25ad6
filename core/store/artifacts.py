"""Content-addressed, atomic, verifiable directories: an artefact is its recipe.

Every output lives in `<root>/<step>/<fingerprint>/`. The directory is written beside its place and renamed into it as
the last act, with `manifest.json` naming recipe, provenance, and size and SHA-256 of each file; a finished directory
is therefore complete, and a killed step leaves nothing that looks finished.
"""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.store.checked import CHECKED, Checked, Fault, faults

MANIFEST = "manifest.json"
RECORD = "prefect.json"
_BESIDE = (MANIFEST, RECORD, CHECKED)
_SEAL = "manifest_sha256"
_MOST_THREADS = 8
"""A node may have a hundred cores, of which a job owns a few; eight hash 10 GB/s, more than a disk gives."""
SEEN_WITHIN_S = 60.0
"""A network file system may show a file that another machine wrote only after its caches expire."""


@dataclass(frozen=True, order=True)
class Artifact:
    """A reference to one artefact: small, hashable, and all that ever crosses to a worker."""

    step: str
    fingerprint: str

    @property
    def ref(self) -> str:
        """`step/fingerprint`, the artefact's place below the store's root."""
        return f"{self.step}/{self.fingerprint}"

    @classmethod
    def from_ref(cls, ref: str) -> "Artifact":
        """The artefact that `ref` names."""
        step, _, fingerprint = ref.partition("/")
        return cls(step, fingerprint)


class DamagedArtifact(RuntimeError):
    """An artefact's files disagree with its manifest, or cannot be put in place."""


def read_json(path: Path) -> Any:
    """A JSON file of an artefact.

    Raises:
        DamagedArtifact: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedArtifact(f"{path}: missing or not JSON ({error}); run `saeflow verify`") from error


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(step: str, version: int, recipe: Mapping[str, Any], inputs: Mapping[str, list[str]]) -> str:
    """Hash a step's name and version, the part of the study it reads and its inputs' references."""
    text = canonical_json([step, version, recipe, inputs])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ArtifactStore:
    """The artefacts below one folder."""

    def __init__(self, root: Path) -> None:
        # Prefect resolves symlinks: an unresolved root would not be the prefix of its paths.
        self.root = root.resolve()

    def path(self, artifact: Artifact) -> Path:
        """Where the artefact lives, whether or not it is there."""
        return self.root / artifact.step / artifact.fingerprint

    def manifest(self, artifact: Artifact) -> dict[str, Any]:
        """The artefact's manifest, without its seal.

        Raises:
            DamagedArtifact: the manifest is missing, is not JSON or is not as it was written.
        """
        try:
            manifest = json.loads((self.path(artifact) / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedArtifact(f"{artifact.ref}: manifest.json is missing or unreadable ({error})") from error
        if not isinstance(manifest, dict):
            raise DamagedArtifact(f"{artifact.ref}: manifest.json is no manifest")
        seal = manifest.pop(_SEAL, None)  # manifests of earlier versions have none
        if seal is not None and seal != _seal(manifest):
            raise DamagedArtifact(f"{artifact.ref}: manifest.json changed")
        return manifest

    def intact(self, artifact: Artifact) -> bool:
        """Whether every file of the manifest is there and holds what it says."""
        return not self.faults(artifact)

    def faults(self, artifact: Artifact, reread: bool = False) -> list[Fault]:
        """What is wrong with the artefact; empty when it equals its manifest.

        A file is read once, and again when its size, time or inode is another; with `reread` all are.
        """
        try:
            return faults(self.path(artifact), artifact.ref, self.manifest(artifact)["files"], reread)
        except DamagedArtifact as error:
            return [Fault(artifact.ref, str(error).removeprefix(f"{artifact.ref}: "))]
        except (KeyError, TypeError, AttributeError):
            return [Fault(artifact.ref, "manifest.json is no manifest")]

    def faulty(self, artifacts: Iterable[Artifact]) -> dict[Artifact, list[Fault]]:
        """Those that are not there or damaged, with what is wrong; several are read at once, where they must be."""
        looked_at = list(artifacts)
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS), "checking") as threads:
            found = zip(looked_at, threads.map(self.faults, looked_at), strict=True)
            return {artifact: wrong for artifact, wrong in found if wrong}

    def missing(self, artifacts: Iterable[Artifact], patience_s: float = 0.0) -> list[Artifact]:
        """Those that are not intact, looked for again for `patience_s`: a network file system shows late what another
        machine wrote. What holds something else is not waited for."""
        absent = self.faulty(artifacts)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and not all(map(_is_changed, absent.values())):
            time.sleep(1.0)
            for step in {artifact.step for artifact in absent}:
                list((self.root / step).glob("*"))  # a listing makes the client ask the server again
            absent = self.faulty(absent)
        return list(absent)

    def verify(self, artifact: Artifact) -> list[str]:
        """What is wrong with the artefact, a line per file, by reading every byte; empty when it equals its
        manifest."""
        return [str(fault) for fault in self.faults(artifact, reread=True)]

    def staging(self, artifact: Artifact) -> Path:
        """A new empty directory beside the artefact's place, for this process and thread alone."""
        place = self.path(artifact)
        folder = place.with_name(f".{place.name}.{os.getpid()}-{threading.get_ident()}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def checkpoints(self, artifact: Artifact) -> Path:
        """The folder that outlives a killed step, where it leaves what its next attempt continues from."""
        place = self.path(artifact)
        folder = place.with_name(f".{place.name}.checkpoint")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, staged: Path, artifact: Artifact, manifest: Mapping[str, Any]) -> bool:
        """Write the manifest into `staged` and rename it into the artefact's place.

        Returns:
            False when somebody else had published the same artefact first; `staged` is then removed.

        Raises:
            DamagedArtifact: the place stays taken by a directory that is not intact.
        """
        content = json.loads(json.dumps({**manifest, "files": _measure(staged)}))  # as it will be read
        text = json.dumps({**content, _SEAL: _seal(content)}, indent=1, sort_keys=True, ensure_ascii=False)
        (staged / MANIFEST).write_text(text + "\n", "utf-8")
        place = self.path(artifact)
        for _ in range(3):
            try:
                staged.rename(place)  # atomic; refuses a directory that is not empty
                shutil.rmtree(place.with_name(f".{place.name}.checkpoint"), ignore_errors=True)
                return True
            except OSError:
                if self.intact(artifact):
                    shutil.rmtree(staged)
                    return False
                self.set_aside(artifact)
        raise DamagedArtifact(f"{artifact.ref}: cannot be put in place; remove {place} and run again")

    def set_aside(self, artifact: Artifact) -> Path | None:
        """Rename the artefact out of its place, never removing files that a reader may have mapped."""
        place = self.path(artifact)
        for number in range(1000):
            aside = place.with_name(f".{place.name}.aside{number}")
            if aside.exists():
                continue
            try:
                return place.rename(aside)
            except FileNotFoundError:
                return None
        raise DamagedArtifact(f"{artifact.ref}: 1000 copies set aside already; run `saeflow gc`")

    def __iter__(self) -> Iterator[Artifact]:
        """Every artefact that has a place in the store, in order of step and fingerprint."""
        for step in sorted(path for path in self.root.glob("*") if path.is_dir()):
            for place in sorted(path for path in step.iterdir() if path.is_dir() and not path.name.startswith(".")):
                yield Artifact(step.name, place.name)


def _seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the rest of a manifest: its metrics and inputs are read as the files are."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _is_changed(wrong: list[Fault]) -> bool:
    return any(fault.changed for fault in wrong)


def _measure(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file; the memo of what was just read goes into the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _BESIDE)
    for path in files:
        path.chmod(0o644)  # safetensors writes 0600, and a workspace is read by more people than its writer
    memo = Checked(folder)
    names = [path.relative_to(folder).as_posix() for path in files]
    measured = {name: {"size": (folder / name).stat().st_size, "sha256": memo.read(name).sha256} for name in names}
    memo.save()
    return measured
