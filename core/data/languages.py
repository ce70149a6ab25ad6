"""The languages of captions, in the order of their columns in `samples.parquet`."""

from typing import get_args

from core.study.language import Language

__all__ = ["LANGUAGES", "LANGUAGE_NAMES", "Language"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
LANGUAGE_NAMES: dict[str, str] = {"en": "English", "ar": "Arabic"}
