"""The report of a concept scan."""

from core.report.concept.collected import collect_scan
from core.report.concept.written import write_scan_report

__all__ = ["collect_scan", "write_scan_report"]
