"""`saeflow store`: activations by feature in other layouts, and what is computed of them once."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cli.bar import bar
from cli.terminal import console, continues, warn
from core.errors import BadInput
from core.features.activation_store import ActivationStore
from core.features.converting import Target, convert_store
from core.features.open_store import open_store
from core.reading.records import open_by_name
from core.study.model import IndexConfig
from flows.runtime.settings import read_settings

app = typer.Typer(no_args_is_help=True, help="Stores of activations: convert one, compute its statistics.")


@app.command()
def convert(
    source: Annotated[
        str, typer.Argument(help="A folder of any layout; with --layer a study that has run.", show_default=False)
    ],
    target: Annotated[Path, typer.Argument(help="A new folder, or an empty one.", show_default=False)],
    to: Annotated[Target, typer.Option("--to", help="Layout of the new folder.", show_default=False)],
    layer: Annotated[int | None, typer.Option(help="The layer of the study SOURCE.", show_default=False)] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="Read SOURCE by this back end in place of the fastest it has.", show_default=False),
    ] = None,
) -> None:
    """Write a store of activations in another layout; SOURCE stays as it is.

    csc is the fastest to read: csc_indptr.npy, csc_rows.npy and csc_values.npy,
    memory-mapped. zarr is one array of features × rows,
    transposed_activations.zarr. sparse-files is neuron_0000/idxs.npy and
    acts.npy, and so on. SOURCE may also have the batches of older scripts:
    activations/batch_0000.zarr, metadata/batch_0000.parquet,
    conversion_metadata.json. Tables that lie beside a store go along. TARGET is
    there once it is whole.

    [dim]saeflow store convert demo layer-17 --layer 17 --to zarr
    saeflow store convert old store --to csc[/dim]
    """
    store, origin = _source(source, layer, backend)
    warn(store.passed_over)
    with bar("converting") as progress:
        notes = convert_store(store, target.expanduser().resolve(), to, origin, progress)
    console.print(f"[green]✓[/green] {store.backend} → {to}: {escape(str(target))}")
    for note in notes:
        console.print(f"  {note}", markup=False)
    _tell(open_store(target, backend=to))


@app.command()
def precompute(
    folder: Annotated[
        Path, typer.Argument(help="A store of layout csc, as `saeflow store convert` makes it.", show_default=False)
    ],
    sae: Annotated[
        Path | None,
        typer.Option(help="The SAE whose activations these are: a folder in SAELens' layout.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="The model that the SAE reads: a checkpoint's folder.", show_default=False)
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Write tables that are there once more.")] = False,
) -> None:
    """Compute the statistics of a store that was made elsewhere, and write them beside its columns.

    features.parquet: count, density, mean, maximum, quantiles, histogram, IDF
    and strongest rows of each feature. histograms.parquet: a histogram of
    halvings of its maximum. coactivation.parquet: the features that fire with
    it. idf.parquet: how rare each token is. With --sae neighbours.parquet:
    similar directions. With --sae and --model influences.parquet: the 100 tokens
    that each feature promotes and suppresses most. Studies have all of this
    already.

    [dim]saeflow store precompute store
    saeflow store precompute store --sae saes/17 --model models/gemma[/dim]
    """
    from core.features.precompute import Weights, precompute  # torch: a second or two
    from core.lm.loading import load_model
    from core.sae.formats import load_sae

    store = open_store(folder, backend="csc")
    if model is not None and sae is None:
        raise BadInput("--model: needs --sae beside it; the tokens are those of the SAE's directions")
    weights = Weights(
        None if sae is None else load_sae(sae.expanduser()),
        None if model is None else load_model(model.expanduser(), "float32", "cpu"),
    )
    continues()  # tables that are there are left
    with bar("computing") as progress:
        told = precompute(store, weights, IndexConfig(), again, progress)
    for name, what in told.items():
        console.print(f"  {name}: {what}", markup=False)


def _source(source: str, layer: int | None, backend: str | None) -> tuple[ActivationStore, dict[str, str] | None]:
    """The store, and for a study's layer whose SAE it is."""
    if layer is None:
        folder = Path(source).expanduser()
        if not folder.exists():
            raise BadInput(f"{source}: no such folder; a study's name needs --layer beside it")
        return open_store(folder, backend=backend), None
    study = open_by_name(read_settings().workspace, source)
    index = study.index(layer)
    sae = study.sae_artifact(layer)
    assert sae is not None  # the layer was opened
    described = study.described(layer)
    store = replace(open_store(index.folder, backend=backend), beside=(described,) if described else ())
    return store, {"study": study.title, "layer": str(layer), "sae": sae.ref}


def _tell(store: ActivationStore) -> None:
    size = sum(path.stat().st_size for path in store.place.rglob("*") if path.is_file())
    features, rows = (f"{count:,}" if count is not None else "?" for count in (store.num_features, store.num_rows))
    console.print(f"  {features} features over {rows} rows, {size / 1e6:,.1f} MB", markup=False)
    console.print(f"  read it: saeflow.open_store({str(store.place)!r})", markup=False)
