"""The languages that a caption may have."""

from typing import Literal

Language = Literal["en", "ar"]
