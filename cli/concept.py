"""`saeflow concept`: concepts in labelled sentences, looked for in every feature of every SAE of a model."""

import typer

from cli import concept_draft, concept_feature, concept_older, concept_registry, concept_scan

app = typer.Typer(
    no_args_is_help=True,
    help="""Look for a concept in labelled sentences: which features of which SAEs respond to it.

    [dim]saeflow concept scan aggression --study demo
    saeflow concept top aggression
    saeflow concept registry --saelens --model gemma-2-2b --width 16k
    saeflow concept draft bravery --endpoint http://127.0.0.1:8000/v1 --model NAME[/dim]""",
)
app.command()(concept_scan.scan)
app.command()(concept_scan.top)
app.command()(concept_feature.feature)
app.command(name="list")(concept_scan.list_)
app.command()(concept_registry.registry)
app.command()(concept_draft.draft)
app.command(name="import")(concept_older.import_)
app.command()(concept_older.export)
