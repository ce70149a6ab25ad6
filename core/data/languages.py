"""The languages of captions, in the order of their columns in `samples.parquet`."""

LANGUAGES = ("en", "ar")
LANGUAGE_NAMES = {"en": "English", "ar": "Arabic"}
