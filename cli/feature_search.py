"""`saeflow feature search`: which features fire on a text, a picture, or both; or are explained as a text says."""

import base64
from pathlib import Path
from typing import Annotated

import typer

from cli.feature_options import LayerOption, ServerOption, StudyOption, TokenOption, TopOption, asked
from cli.printed import HtmlOption, JsonOption, give
from core.errors import BadInput
from explorer.asking.questions import WhatFires


def search(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="A caption.", show_default=False)] = "",
    study: StudyOption = None,
    layer: LayerOption = None,
    language: Annotated[str | None, typer.Option(help="Of the text (default: that of its script).")] = None,
    picture: Annotated[Path | None, typer.Option(help="A picture's file, beside the text or without one.")] = None,
    segment: Annotated[
        str | None, typer.Option(help="Only on rows of: image, prompt, caption (default: on any).")
    ] = None,
    explained: Annotated[
        str | None,
        typer.Option(
            "--explained", metavar="TEXT", help="Instead: features that catalogues explain as this text says."
        ),
    ] = None,
    top_k: TopOption = 10,
    server: ServerOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Which features fire on a text, a picture, or both: how strongly, and on which token most.

    The study's model runs once, and reads the text as it read the study's
    captions: the same instruction and template, the same rows. A feature's rows
    are those of the text and picture in which it is active.

    [dim]saeflow feature search "a woman sings" --layer 8 --segment caption
    saeflow feature search --picture photo.png --layer 8
    saeflow feature search --explained "a woman is named"[/dim]

    With --explained no model of a study runs: explanations in feature catalogues
    are searched, of all studies and layers where none is named. By meaning where
    the catalogue's embedder is on this machine, else by words.
    """
    if explained is not None:
        if text or picture is not None:
            raise BadInput("--explained: searches explanations, not captions or pictures; give it alone")
        give(asked(server, token, study, layer).explained(explained, top_k), as_json, html)
        return
    content = None if picture is None else base64.b64encode(_content(picture))
    question = WhatFires(text=text, language=language, segment=segment, picture=content, top_k=top_k)
    give(asked(server, token, study, layer).ask(question), as_json, html)


def _content(picture: Path) -> bytes:
    try:
        return picture.expanduser().read_bytes()
    except OSError as error:
        raise BadInput(f"--picture {picture}: {error.strerror or error}") from error
