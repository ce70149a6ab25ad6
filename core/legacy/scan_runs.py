"""A folder of an older concept scan, finished or not: what is done of it, and the way into and out of its layout.

`batch_progress.json` there is `{"last_completed": 42}`: the place, from 0, of the last SAE that was finished in the
list of SAEs. What is done is read from the files themselves, which a killed run leaves whole or cut short.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
import polars as pl
from numpy.lib import format as npy

from core.concepts.card import ScanCard, ScanSource
from core.concepts.encoding import Target, finish_scan
from core.concepts.joining import join_scans
from core.concepts.scanned import ScannedSAE
from core.errors import BadInput, first_line
from core.features.columns import SparseRows, block_rows
from core.legacy.scan_files import OldScan, rows_of
from core.progress import Progress, silent

PROGRESS = "batch_progress.json"


@dataclass(frozen=True)
class OldRun:
    """The whole files of a folder by layer and L0, and why others cannot be read; `stated` is how many SAEs its
    `batch_progress.json` says are finished, null without one."""

    files: Mapping[tuple[int, float], OldScan]
    faults: Mapping[str, str]
    stated: int | None


def open_old_run(folder: Path) -> OldRun:
    """Look at every file of the folder; activations are not read yet.

    Raises:
        BadInput: the folder holds no such file, or `batch_progress.json` is damaged.
    """
    paths = sorted(folder.glob("layer_*_activations.npz"))
    if not paths and not (folder / PROGRESS).is_file():
        raise BadInput(f"{folder}: holds neither layer_*_activations.npz nor {PROGRESS}; name an older scan's folder")
    files: dict[tuple[int, float], OldScan] = {}
    faults: dict[str, str] = {}
    for path in paths:
        try:
            found = OldScan.open(path)
            files[found.layer, found.l0] = found
        except BadInput as error:
            faults[path.name] = first_line(error)
    return OldRun(files, faults, _stated(folder / PROGRESS))


def _stated(path: Path) -> int | None:
    if not path.is_file():
        return None
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["last_completed"]) + 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f'{path}: is damaged ({first_line(error)}); write {{"last_completed": N}}, or remove it'
        ) from error


def import_scan(old: OldScan, sentences: pl.DataFrame, source: ScanSource, target: Target) -> ScanCard:
    """Write what an older file has of these sentences as a scanned SAE, in their order.

    Args:
        old: the file; its activations are taken as they are.
        sentences: `sentence_id` and `sentence` of those that are wanted; a sentence of which a fragment is missing is
            none that the file has.
        source: the SAE as its registry names it.
        target: the folder, and the precision there.

    Raises:
        BadInput: the file is damaged or has none of the sentences, or an activation does not fit into float16.
        OSError: the disk is full.
    """
    named = source.model_copy(update={"imported_from": old.path.name})
    target.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.folder, prefix=".import-") as place:
        part = Target(Path(place), target.values)
        _import(old, dict(zip(sentences["sentence"], sentences["sentence_id"], strict=True)), named, part)
        found = ScannedSAE.open(part.folder)
        there = set(found.sentences)
        return join_scans([found], [one for one in sentences["sentence_id"] if one in there], named, target)


def _import(old: OldScan, ids: Mapping[str, str], source: ScanSource, target: Target) -> None:
    """What the file has of the sentences, whose ids go by their texts, in the file's order."""
    taken = [(ids[text], own) for text, own in old.whole_sentences().items() if text in ids]
    if not taken:
        raise BadInput(f"{old.path}: holds none of the sentences; name the scan of this concept")
    taken.sort(key=lambda item: int(item[1]["row"][0]))
    kept = np.zeros(old.fragments.height, bool)
    for _, own in taken:
        kept[own["row"].to_numpy()] = True
    start = 0
    with SparseRows(target.folder, target.values) as csr:
        for dense in old.blocks():
            csr.append_dense(dense[kept[start : start + len(dense)]])
            start += len(dense)
    finish_scan(pl.concat([rows_of(own, name) for name, own in taken]), old.features, source, target)


def export_scans(
    scans: Sequence[ScannedSAE], sentences: pl.DataFrame, out: Path, progress: Progress = silent
) -> list[Path]:
    """Write scans in the older layout, dense, in the order given; `batch_progress.json` counts those that are whole.

    Args:
        scans: of one model and one site; the L0 of a file's name is the declared one, or the measured one rounded.
        sentences: `sentence_id`, `sentence` and `label`, in the order that sentences are numbered by.
        out: a folder; files of its that have these names are replaced.
        progress: told of scans.

    Raises:
        BadInput: two scans would have one name.
        OSError: the disk is full.
    """
    names = [_name(scan.card) for scan in scans]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        keys = ", ".join(scan.card.key for scan, name in zip(scans, names, strict=True) if name == twice)
        raise BadInput(f"{twice}: {keys} would all be called so; export them into folders of their own")
    out.mkdir(parents=True, exist_ok=True)
    for number, (scan, name) in enumerate(zip(scans, names, strict=True)):
        part = out / f".{name}.part"
        _write(scan, sentences, part)
        part.replace(out / name)
        (out / PROGRESS).write_text(json.dumps({"last_completed": number}) + "\n", encoding="utf-8")
        progress(number + 1, len(scans))
    return [out / name for name in names]


def _l0(card: ScanCard) -> float:
    return card.declared_l0 if card.declared_l0 is not None else round(card.measured_l0)


def _name(card: ScanCard) -> str:
    return f"layer_{card.layer}_l0_{_l0(card):g}_activations.npz"


def _write(scan: ScannedSAE, sentences: pl.DataFrame, path: Path) -> None:
    """One member after the other; the dense matrix a block at a time."""
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True))
        for name, array in _columns(scan, sentences).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                npy.write_array(file, array, allow_pickle=False)
        with archive.open("activations.npy", "w", force_zip64=True) as file:
            _write_dense(scan, file)


def _columns(scan: ScannedSAE, sentences: pl.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    numbered = sentences.select("sentence_id", "sentence", "label").with_row_index("number")
    rows = scan.rows.join(numbered, on="sentence_id", how="left", maintain_order="left")
    fragments = [text.strip() for text in rows["fragment"]]
    return {
        "fragments": np.array(fragments, np.str_),
        "original_sentences": np.array(rows["sentence"].to_list(), np.str_),
        "concept_strength_labels": rows["label"].to_numpy().astype(np.int64),
        "sentence_indices": rows["number"].to_numpy().astype(np.int64),
        "token_positions": rows["token_index"].to_numpy().astype(np.int64),
        "is_final_token": rows["is_full"].to_numpy(),
        "fragment_lengths": np.array([len(text.split()) for text in fragments], np.int64),
        "layer": np.array(scan.card.layer),
        "average_l0": np.array(float(_l0(scan.card))),
        "num_features": np.array(scan.card.features),
    }


def _write_dense(scan: ScannedSAE, file: IO[bytes]) -> None:
    shape = (scan.rows.height, scan.card.features)
    npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for start in range(0, shape[0], block_rows(shape[1])):
        indptr, features, values = scan.csr(start, min(start + block_rows(shape[1]), shape[0]))
        dense = np.zeros((len(indptr) - 1, shape[1]), "<f4")
        dense[np.repeat(np.arange(len(dense)), np.diff(indptr)), features] = values
        file.write(dense.data)
