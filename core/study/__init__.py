"""The study: what is asked, of which model, on which samples."""

from core.study.layers import resolve_layers
from core.study.loading import find_study, load_study, parse_study
from core.study.model import Study

__all__ = ["Study", "find_study", "load_study", "parse_study", "resolve_layers"]
