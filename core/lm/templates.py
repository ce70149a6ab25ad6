"""What a chat template reads beside the instruction, held still so that a study's prompt is the same on every day."""

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from core.errors import BadInput

CLOCK = datetime(2024, 7, 26, 12, tzinfo=UTC)
"""The time that a template is given when it asks for it. It is the date that Llama 3's templates fall back to."""
_CLOCK_CALL = "strftime_now"
# The longer ones first: %-d is a day without its zero.
_CODES = (*(f"%-{code}" for code in "dmyHIMSj"), *(f"%{code}" for code in "aAbBcCdDeFgGhHIjmMnpPrRsStTuUVwWxXyYzZf%"))
_RANDOM = re.compile(r"\|\s*random\b|\bmap\(\s*['\"]random['\"]|\blipsum\b")
_FILES = (
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "tokenizer_config.json",
    "processor_config.json",
)


def held_still(template: Any, folder: Path) -> str | None:
    """A chat template (of several by name the default one) in which the clock stands at `CLOCK`; null where it asks for
    no time and stays as it is.

    Raises:
        BadInput: the template draws at random.
    """
    text = str(template.get("default", "") if isinstance(template, dict) else template)
    if _RANDOM.search(text):
        raise BadInput(
            f"model {folder}: its chat template draws at random (`random` or `lipsum`), so that no two prompts need be "
            "alike; write one choice into chat_template.jinja"
        )
    return _clock_macro() + text if _CLOCK_CALL in text else None


@cache
def _clock_macro() -> str:
    """The function that transformers gives to templates, as a macro of Jinja's: a template sees no function of ours."""
    texts = {code: CLOCK.strftime(code) for code in _CODES} | {"%s": f"{CLOCK.timestamp():.0f}"}  # whatever the zone
    steps = [f"replace({code!r}, {text!r})" for code, text in texts.items()]
    return f"{{%- macro {_CLOCK_CALL}(format) -%}}{{{{ format | {' | '.join(steps)} }}}}{{%- endmacro -%}}"


def asks_for_time(folder: Path) -> bool:
    """Whether a chat template in a checkpoint's folder asks for the time."""
    files = [path for pattern in _FILES for path in sorted(folder.glob(pattern))]
    return any(_CLOCK_CALL in path.read_text(encoding="utf-8", errors="replace") for path in files)


def template_notes(folder: Path) -> tuple[str, ...]:
    """What a user should know of how a checkpoint's chat template is read, a sentence each."""
    if not asks_for_time(folder):
        return ()
    return (f"its chat template asks for the date, and is always given {CLOCK:%d %B %Y, %H:%M}",)
