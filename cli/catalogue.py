"""`saeflow catalogue`: what features mean, explained, scored and published as tables."""

import typer

from cli import catalogue_make, catalogue_tables, catalogue_transfer

app = typer.Typer(
    no_args_is_help=True,
    help="""Explain the features of a study that has run: explanations, scores and embeddings as Parquet tables.

    [dim]saeflow catalogue make demo
    saeflow catalogue make my-catalogue.yaml --study demo --dry-run
    saeflow catalogue show demo
    saeflow catalogue show demo --layer 17 --feature 57
    saeflow catalogue export demo neuronpedia-tree --to neuronpedia --layer 17[/dim]
    """,
)
app.command()(catalogue_make.make)
app.command(name="list")(catalogue_tables.list_)
app.command()(catalogue_tables.show)
app.command(name="import")(catalogue_transfer.import_)
app.command()(catalogue_transfer.export)
