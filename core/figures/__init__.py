"""Figures: Altair charts in one theme, one module an analysis, and the writers of their files.

A module here takes the tables its analysis wrote and returns `{name: Figure}`; see `core.figures.theme`.
"""

from core.figures.theme import Figure
from core.figures.writers import read_figures, write_figure

__all__ = ["Figure", "read_figures", "write_figure"]
