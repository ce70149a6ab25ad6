"""The report of a feature catalogue."""

from core.report.catalogue.written import write_catalogue_report

__all__ = ["write_catalogue_report"]
