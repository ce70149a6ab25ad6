"""`saeflow convert-config`, `import-sae` and `import-activations`: files of older scripts, rewritten once."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.terminal import console, errors
from core.errors import BadInput
from core.study.sites import Site

LAYER = "{layer}"


def convert_config(
    old: Annotated[
        Path, typer.Argument(help="The old configuration, such as configs/config.yaml.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="The study file to write; without it, it is printed.")] = None,
) -> None:
    """Rewrite an old configs/config.yaml as a study; keys without a place here are named in its first lines.

    [dim]saeflow convert-config configs/config.yaml --out my-study.yaml  ·  saeflow plan my-study.yaml[/dim]
    """
    from core.legacy.config_file import convert_config as convert

    made = convert(old)
    text = made.text(old.name)
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.exists():
        raise BadInput(f"{out}: is there already; name a new file")
    out.write_text(text, encoding="utf-8")
    console.print(f"[green]✓[/green] {out}", highlight=False)
    for heading, told in (("to decide", made.decide), ("unknown, and left out", made.unknown)):
        for line in told:
            errors.print(f"{heading}: {line}", markup=False)


def import_sae(
    source: Annotated[
        str,
        typer.Argument(
            help="A .pt or .pth file, or a folder of dictionary_learning (ae.pt, config.json); {layer} stands for the "
            "layers that are there.",
            show_default=False,
        ),
    ],
    out: Annotated[str, typer.Argument(help="New folder; with {layer} where SOURCE has it.", show_default=False)],
    activation: Annotated[
        Literal["relu", "topk", "jumprelu"] | None, typer.Option(help="Which features fire, where no file tells.")
    ] = None,
    k: Annotated[int | None, typer.Option(help="Active features per row of a TopK, where no file tells.")] = None,
    centred: Annotated[
        bool | None,
        typer.Option("--centred/--not-centred", help="Whether encode() takes the decoder's bias from its input first."),
    ] = None,
    trained_on: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL[@HOOK]", help="Where it was trained: gemma-3-4b-it@blocks.{layer}.hook_resid_post."
        ),
    ] = None,
) -> None:
    """Rewrite an SAE of older scripts in SAELens' layout, which `sae.pretrained` and `sae.beside` read.

    [dim]saeflow import-sae 'saes/sae_layer_{layer}.pt' 'saes/layer_{layer}' --not-centred[/dim]
    """
    from core.activations.export import refuse_filled
    from core.legacy.sae_file import Told
    from core.legacy.sae_file import import_sae as rewrite

    if (LAYER in source) != (LAYER in out):
        raise BadInput("import-sae: write {layer} in both SOURCE and OUT, or in neither")
    for layer, path in _sources(source):
        folder = Path(out.replace(LAYER, layer)).expanduser()
        refuse_filled(folder)
        model, _, hook = (trained_on or "").replace(LAYER, layer or LAYER).partition("@")
        told = Told(activation, k, centred, model or None, hook or None)
        rewrite(path, folder, told, lambda line: errors.print(line, markup=False))
        console.print(f"[green]✓[/green] {folder}", highlight=False)


def _sources(source: str) -> Iterator[tuple[str, Path]]:
    """The layers that are there, ascending, with their files; without `{layer}` the one file."""
    path = Path(source).expanduser()
    if LAYER not in source:
        yield "", path
        return
    root, pattern = Path(path.anchor), path.relative_to(path.anchor).as_posix() if path.anchor else path.as_posix()
    shape = re.compile(re.escape(pattern).replace(re.escape(LAYER), r"(\d+)", 1).replace(re.escape(LAYER), r"\1"))
    found = {}
    for place in root.glob(pattern.replace(LAYER, "*")):
        match = shape.fullmatch((place.relative_to(root) if path.anchor else place).as_posix())
        if match:
            found[match[1]] = place
    if not found:
        raise BadInput(f"{source}: no such file for any layer")
    yield from sorted(found.items(), key=lambda item: int(item[0]))


def import_activations(
    sources: Annotated[list[Path], typer.Argument(help="Files (.pt, .npz, .npy) or folders.", show_default=False)],
    out: Annotated[Path, typer.Option(help="New folder, which capture.precomputed then names.", show_default=False)],
    language: Annotated[
        Literal["en", "ar"] | None, typer.Option(help="Language of all rows, where neither files nor names tell.")
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(help="Text file of one sample id per line, in the rows' order, where no file has them."),
    ] = None,
    unpadded: Annotated[
        bool, typer.Option("--unpadded", help="No row of a [samples, tokens, width] tensor without a mask is padding.")
    ] = False,
    site: Annotated[Site | None, typer.Option(help="What was read of a layer.")] = None,
) -> None:
    """Rewrite activations of older scripts as the folder that `capture.precomputed` reads.

    [dim]saeflow import-activations checkpoints/layer_checkpoints --out rows[/dim]
    """
    from core.legacy.activation_files import Told
    from core.legacy.activation_files import import_activations as rewrite

    named = None
    if ids is not None:
        try:
            named = tuple(line for line in ids.read_text(encoding="utf-8").splitlines() if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--ids {ids}: cannot be read ({error}); save it as UTF-8 text") from error
    folder = out.expanduser().resolve()
    index = rewrite([path.expanduser() for path in sources], folder, Told(language, named, unpadded, site))
    layers = ", ".join(map(str, sorted(index.layers)))
    console.print(
        f"[green]✓[/green] {index.rows:,} rows of {index.d_model} numbers of layers {layers}", highlight=False
    )
    console.print(f"  {folder}; a study takes it as capture.precomputed", markup=False)
