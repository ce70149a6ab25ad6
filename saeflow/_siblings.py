"""Whether the packages that this one opens are its own: `core` is a common name."""

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent


def refuse_others() -> None:
    """Compare the folders of core, tasks and flows with this package's own.

    Raises:
        ImportError: Python finds another package, or none, under one of these names.
    """
    for name in ("core", "tasks", "flows"):
        found, own = _place(find_spec(name)), _FOLDER / name
        if found != own:
            raise ImportError(
                f"saeflow needs its own package {name!r} in {own}, and Python finds {found or 'none'}; "
                "rename that one, or start Python in another folder",
                name=name,
                path=str(found),
            )


def _place(spec: ModuleSpec | None) -> Path | None:
    if spec is None:
        return None
    if spec.origin is None:  # a folder without __init__.py
        return next((Path(place).resolve() for place in spec.submodule_search_locations or ()), None)
    origin = Path(spec.origin).resolve()
    return origin.parent if spec.submodule_search_locations is not None else origin
