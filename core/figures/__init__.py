"""Figures: one Altair theme, parts that several figures share, and the writers of their files.

An analysis' own figures are in its folder; `core.figures.theme` says how to draw one.
"""

from core.figures.theme import Figure
from core.figures.writers import read_figures, write_figure

__all__ = ["Figure", "read_figures", "write_figure"]
