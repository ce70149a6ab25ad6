"""Feature catalogues: opened by name, their tables read, written, imported and exported.

`open` takes a catalogue of a workspace; the other functions take folders and files, whoever made them:

>>> import polars as pl, saeflow
>>> demo = saeflow.catalogue.open("demo", workspace="workspace")
>>> demo.saes
('demo/layer_17',)
>>> demo.table("features").height == demo.explanations.height
True
>>> rows = scan_table(demo.folder / "activation_examples.parquet").filter(pl.col("feature_id") == 7)
>>> rows.collect()["feature_id"].unique().to_list()
[7]
"""

from pathlib import Path

from core.explain.csv_export import export_csv as export_csv
from core.explain.importing.catalogue import Imported as Imported
from core.explain.importing.catalogue import read_older as read_older
from core.explain.neuronpedia import Beside as Beside
from core.explain.neuronpedia import Release as Release
from core.explain.neuronpedia import export_neuronpedia as export_neuronpedia
from core.explain.published import read_table as read_table
from core.explain.published import scan_table as scan_table
from core.explain.published import write_tables as write_tables
from core.explain.table_file import Card as Card
from core.explain.table_file import read_card as read_card
from core.reading.catalogues import OpenedCatalogue as OpenedCatalogue
from core.reading.catalogues import catalogue_by_name
from flows.runtime.settings import open_workspace

__all__ = [
    "Beside",
    "Card",
    "Imported",
    "OpenedCatalogue",
    "Release",
    "export_csv",
    "export_neuronpedia",
    "open",
    "read_card",
    "read_older",
    "read_table",
    "scan_table",
    "write_tables",
]


def open(catalogue: str, workspace: str | Path | None = None) -> OpenedCatalogue:
    """Open a catalogue that was made or imported; its tables are read when they are asked for.

    Args:
        catalogue: its name, title or key, as `saeflow catalogue list` has them.
        workspace: the folder that it was made in, as in `saeflow.open`.

    Raises:
        BadInput: no such catalogue was made there.
    """
    return catalogue_by_name(open_workspace(workspace), catalogue)
