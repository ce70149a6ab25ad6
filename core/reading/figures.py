"""The figures that a study's run left: read by name, and saved in any format."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudyFigure:
    """A figure: the file of its Vega-Lite spec, the sentences under it, and what is read aloud in its place."""

    name: str
    spec: Path
    caption: str
    alt: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What Jupyter shows: the figure as a picture, which is a page's width, and its caption in place of one."""
        png = self.spec.with_suffix(".png").read_bytes()
        return {"image/png": base64.b64encode(png).decode(), "text/plain": f"{self.name}: {self.caption}"}

    def save(self, path: str | Path) -> Path:
        """Write the figure to `path` as SVG, PDF, PNG, HTML or JSON, by the end of the file's name; return the path.

        Raises:
            BadInput: the name ends in none of these.
            OSError: the folder is missing, or cannot be written to.
        """
        from core.figures.vector import save_figure  # it loads Altair

        return save_figure(self.spec, Path(path))


def figures_in(artefacts: Iterable[tuple[str, Path]]) -> dict[str, StudyFigure]:
    """The figures of artefacts' folders by name, each behind the prefix that stands with its folder."""
    from core.figures.writers import read_figures

    found = [(prefix + one.name, one) for prefix, folder in artefacts for one in read_figures(folder / "figures")]
    return {name: StudyFigure(name, one.spec, one.caption, one.alt) for name, one in found}
