"""A registry of SAEs in the terminal: layers by widths and L0s, what is missing, what cannot be used."""

from rich.markup import escape
from rich.table import Table

from cli.terminal import console, warn
from core.concepts.registry import Registry, SAEEntry
from core.concepts.registry_checks import Checked
from core.concepts.registry_entries import Found, short_width

_SHOWN = 5


def tell_registry(registry: Registry) -> None:
    """Print one line per layer and site with the L0s of each width, then what the whole registry holds."""
    entries = registry.entries
    widths = sorted({entry.width for entry in entries})
    table = Table(box=None, padding=(0, 2, 0, 2))
    table.add_column("layer", justify="right")
    table.add_column("site")
    for width in widths:
        table.add_column(f"L0s, {short_width(width)} features", overflow="fold")
    for layer, site in sorted({(entry.layer, entry.site) for entry in entries}):
        here = [entry for entry in entries if (entry.layer, entry.site) == (layer, site)]
        cells = (", ".join(_l0(one) for one in here if one.width == width) for width in widths)
        table.add_row(str(layer), site, *map(escape, cells))
    console.print(f"[bold]{escape(registry.model)}[/bold]")
    console.print(table)
    known = sum(entry.neuronpedia is not None for entry in entries)
    total = sum(entry.width for entry in entries)
    console.print(f"  SAEs: {len(entries)}; features: {total:,}; with a Neuronpedia id: {known}")
    console.print(f"  {_missing(registry)}")
    if alike := registry.alike():
        pair = " and ".join(one.key for one in alike[0][:2])
        what = "layer, site, width and L0 are shared by several SAEs"
        console.print(f"  {what} in {len(alike)} cases, such as {pair}", markup=False)


def tell_found(found: Found) -> None:
    """Print what was left out, and why."""
    if found.others:
        console.print(f"  {found.others} more have another site or width")
    for reason, count in found.left_out.most_common(_SHOWN):
        console.print(f"  left out ({count}): {reason}", markup=False)
    if len(found.left_out) > _SHOWN:
        rest = sum(count for _, count in found.left_out.most_common()[_SHOWN:])
        console.print(f"  left out ({rest}): {len(found.left_out) - _SHOWN} more reasons")


def tell_checked(checked: Checked) -> None:
    """Print how many SAEs can be used, and the first that cannot."""
    warn(one.reason for one in checked.skipped[:_SHOWN])
    if len(checked.skipped) > _SHOWN:
        warn([f"{len(checked.skipped) - _SHOWN} more SAEs cannot be used"])
    unknown = sum(one.trained.hook is None for one in checked.usable)
    told = f"; the files of {unknown} do not state their layer and site" if unknown else ""
    console.print(f"  {len(checked.usable)} of {len(checked.usable) + len(checked.skipped)} SAEs can be used{told}")


def _l0(entry: SAEEntry) -> str:
    return "?" if entry.l0 is None else f"{entry.l0:g}"


def _missing(registry: Registry) -> str:
    missing = registry.missing_layers()
    number = registry.num_layers
    where = f"of the model's {number} layers" if number is not None else f"up to layer {registry.layers[-1]}"
    return f"{where}, without an SAE: {', '.join(map(str, missing)) or 'none'}"
