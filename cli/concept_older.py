"""`saeflow concept import` and `export`: the way into and out of the folders that older scan scripts write."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.table import Table

from cli.concept_scan import ConceptArgument
from cli.terminal import console, warn
from core.concepts.card import ScanSource
from core.concepts.encoding import Target
from core.concepts.registry import SAEEntry
from core.concepts.sentences import SENTENCES, labelled_sentences, load
from core.errors import BadInput, first_line
from core.legacy.scan_files import OldScan
from core.legacy.scan_runs import OldRun, export_scans, import_scan, open_old_run
from core.reading.scans import scan_by_name
from flows.runtime.scans import open_scan
from flows.runtime.settings import read_settings, started_in


def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            help="An older scan's folder of layer_0_l0_105_activations.npz and so on, finished or not.",
            show_default=False,
        ),
    ],
    concept: ConceptArgument,
    out: Annotated[Path, typer.Option(help="The folder to write, which a scan then names.", show_default=False)],
    registry: Annotated[
        str | None, typer.Option(help="The SAEs: a file, or the name of one in deployments/sae-registries.")
    ] = None,
    study: Annotated[str | None, typer.Option("--study", "-s", help="The SAEs of this study, which has run.")] = None,
) -> None:
    """Take over what an older scan has finished, so that a scan goes on with the rest.

    Older scripts write one dense layer_LAYER_l0_L0_activations.npz per SAE. Each
    such file is held against the registry by layer, L0 and width, and written as
    a folder of sparse arrays. The model is not run, and no pickle is read. A scan
    that names the new folder takes these activations as they are and encodes
    only the SAEs and sentences that are missing. What cannot be used is named.

    [dim]saeflow concept import old-run aggression --registry gemma-2-2b-res-16k --out old-saes
    saeflow concept scan aggression --registry gemma-2-2b-res-16k --set imported=old-saes[/dim]
    """
    if (registry is None) == (study is None):
        raise BadInput("say which SAEs the older scan had: --registry FILE, or --study NAME")
    named = f"study:{study}" if study else str(registry)
    scan, known = open_scan(str(concept), read_settings().workspace, [f"registry={named}"])
    sentences, run = labelled_sentences(Path(scan.sentences)), open_old_run(_here(folder))
    matched, left = _matched(run, known.entries)
    target = _new(out)
    shown = Table("SAE", "file", "sentences")
    for entry, old in matched.items():
        try:
            done = _import(entry, old, sentences, target)
        except BadInput as error:
            left[old.path.name] = first_line(error)
        else:
            shown.add_row(entry.key, old.path.name, f"{done} of {sentences.height}")
    if not shown.row_count:
        raise BadInput(f"{folder}: {next(iter(left.values()), 'holds no file of an SAE yet')}")
    console.print(shown)
    warn([why if name in why else f"{name}: {why}" for name, why in left.items()])
    console.print(f"[green]✓[/green] {shown.row_count} of {len(known.entries)} SAEs are in {target}", highlight=False)
    option = f"--study {study}" if study else f"--registry {registry}"
    console.print(f"  next  saeflow concept scan {concept} {option} --set imported={target}", markup=False)


def _import(entry: SAEEntry, old: OldScan, sentences: pl.DataFrame, out: Path) -> int:
    """Write one SAE's activations, or nothing; how many of the sentences they have."""
    source = ScanSource(key=entry.key, layer=entry.layer, site=entry.site, declared_l0=entry.l0)
    place = out / f"layer_{old.layer}_l0_{old.l0:g}"
    try:
        return import_scan(old, sentences, source, Target(place, "float32")).sentences
    except BadInput:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _matched(run: OldRun, entries: tuple[SAEEntry, ...]) -> tuple[dict[SAEEntry, OldScan], dict[str, str]]:
    """The older file of each SAE, and why others are left out, by file."""
    left, matched = dict(run.faults), dict[SAEEntry, OldScan]()
    for (layer, l0), old in sorted(run.files.items()):
        same = [one for one in entries if one.layer == layer and one.l0 is not None and f"{one.l0:g}" == f"{l0:g}"]
        fits = [one for one in same if one.width == old.features]
        if len(fits) == 1:
            matched[fits[0]] = old
        else:
            left[old.path.name] = "; ".join(_why(same, fits, old))
    return matched, left


def _why(same: list[SAEEntry], fits: list[SAEEntry], old: OldScan) -> Iterator[str]:
    if fits:
        yield f"{' and '.join(one.key for one in fits)} are alike: keep one of them in the registry"
    elif same:
        yield f"has {old.features:,} features, {same[0].key} has {same[0].width:,}: name the registry of its SAEs"
    else:
        yield f"the registry has no SAE of layer {old.layer} with L0 {old.l0:g}: correct `l0` there, or leave the file"


def export(
    concept: Annotated[
        str, typer.Argument(help="A concept that was scanned here, by name or key.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    sae: Annotated[list[str] | None, typer.Option(help="Only this SAE, by its key. May be repeated.")] = None,
) -> None:
    """Write a scan in the layout of older scripts: one dense npz per SAE, and batch_progress.json.

    The files hold every fragment of every sentence times every feature in
    float32, so that 16,384 features and 1,500 fragments fill 98 MB in memory;
    they are compressed on disk.

    [dim]saeflow concept export aggression old-layout --sae demo/layer_17[/dim]
    """
    found = scan_by_name(read_settings().workspace, concept)
    scans = [found.scanned(key) for key in (sae or found.saes)]
    sentences: pl.DataFrame = load(found.folder("sentences") / SENTENCES)
    paths = export_scans(scans, sentences, _here(out))
    size = sum(path.stat().st_size for path in paths) / 1e6
    console.print(f"[green]✓[/green] {len(paths)} SAEs, {size:,.1f} MB: {_here(out)}", highlight=False)


def _new(out: Path) -> Path:
    target = _here(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"--out {out}: is there already; name a new folder")
    return target


def _here(path: Path) -> Path:
    return started_in() / path.expanduser()
