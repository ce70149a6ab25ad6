"""`saeflow convert-config`, `import-sae` and `import-activations`: files of older scripts, rewritten once."""

import re
from collections.abc import Iterator
from glob import escape
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

    [dim]saeflow convert-config configs/config.yaml --out my-study.yaml
    saeflow plan my-study.yaml[/dim]
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
    for heading, lines in (("to decide", made.decide), ("unknown, and left out", made.unknown)):
        for line in lines:
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
        Literal["relu", "topk", "jumprelu"] | None, typer.Option(help="Which features fire, where no file says it.")
    ] = None,
    k: Annotated[int | None, typer.Option(help="Active features per row of a TopK, where no file says it.")] = None,
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
    from core.legacy.sae_file import SAEOptions
    from core.legacy.sae_file import import_sae as rewrite

    if (LAYER in source) != (LAYER in out):
        raise BadInput("import-sae: write {layer} in both SOURCE and OUT, or in neither")
    for layer, path in _sources(source):
        number = LAYER if layer is None else str(layer)
        folder = Path(out.replace(LAYER, number)).expanduser()
        model, _, hook = (trained_on or "").replace(LAYER, number).partition("@")
        options = SAEOptions(activation, k, centred, model or None, hook or None)
        rewrite(path, folder, options, lambda line: errors.print(line, markup=False))
        console.print(f"[green]✓[/green] {folder}", highlight=False)


def _sources(source: str) -> Iterator[tuple[int | None, Path]]:
    """The layers that are there, ascending, with their files; without `{layer}` the one file."""
    path = Path(source).expanduser()
    if LAYER not in source:
        yield None, path
        return
    root, named = Path(path.anchor), path.relative_to(path.anchor).as_posix() if path.anchor else path.as_posix()
    shape = re.compile(re.escape(named).replace(re.escape(LAYER), r"(\d+)", 1).replace(re.escape(LAYER), r"\1"))
    found: dict[int, Path] = {}
    for place in root.glob("*".join(map(escape, named.split(LAYER)))):
        match = shape.fullmatch((place.relative_to(root) if path.anchor else place).as_posix())
        if match and (other := found.setdefault(int(match[1]), place)) != place:
            raise BadInput(f"{source}: {other} and {place} are both of layer {int(match[1])}; move one of them away")
    if not found:
        raise BadInput(f"{source}: no such file for any layer")
    yield from sorted(found.items())


def import_activations(
    sources: Annotated[list[Path], typer.Argument(help="Files (.pt, .npz, .npy) or folders.", show_default=False)],
    out: Annotated[Path, typer.Option(help="New folder, which capture.precomputed then names.", show_default=False)],
    language: Annotated[
        Literal["en", "ar"] | None, typer.Option(help="Language of all rows, where neither files nor names say it.")
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
    from core.legacy.activation_files import ActivationOptions
    from core.legacy.activation_files import import_activations as rewrite

    options = ActivationOptions(language, None if ids is None else _ids(ids.expanduser()), unpadded, site)
    folder = out.expanduser().resolve()
    index = rewrite([path.expanduser() for path in sources], folder, options)
    layers = ", ".join(map(str, sorted(index.layers)))
    console.print(
        f"[green]✓[/green] {index.rows:,} rows of {index.d_model} numbers of layers {layers}", highlight=False
    )
    console.print(f"  {folder}; a study takes it as capture.precomputed", markup=False)


def _ids(path: Path) -> tuple[str, ...]:
    """The lines of a text file that hold something, without the spaces around them."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--ids {path}: cannot be read ({error}); save it as UTF-8 text") from error
    return tuple(line.strip() for line in lines if line.strip())
