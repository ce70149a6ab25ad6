"""The study's report: one HTML page and one Markdown file, from what the steps left on disk."""

from core.report.collect import collect
from core.report.model import Gallery, Making, ReportInputs, Section, ShownTable, UnitFacts
from core.report.write import write_report

__all__ = ["Gallery", "Making", "ReportInputs", "Section", "ShownTable", "UnitFacts", "collect", "write_report"]
