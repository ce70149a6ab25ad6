"""`saeflow concept`: concepts in labelled sentences, looked for in every feature of every SAE of a model."""

import typer

from cli import concept_registry

app = typer.Typer(
    no_args_is_help=True,
    help="""Look for a concept in labelled sentences: which features of which SAEs respond to it.

    [dim]saeflow concept registry --saelens --model gemma-2-2b --width 16k[/dim]""",
)
app.command()(concept_registry.registry)
