"""Labels as one JSON file per model: what is exported here is imported there, with its history, and nothing is lost."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from explorer.labels.store import Change
from explorer.reading.refusals import UNUSABLE, Refusal

FORMAT, VERSION = "saeflow-labels", 1
LONGEST_TEXT, LONGEST_AUTHOR = 2000, 100
"""Characters of a label, and of its author's name, at most."""
_SAE = re.compile(r"[a-z_]{1,40}/[0-9a-f]{20}")
_LARGEST = 2**31


def written(model: str, changes: Iterable[Change]) -> dict[str, Any]:
    """The file of a model's labels: per feature the label and its history, the latest change first."""
    features = []
    for (sae, layer, feature), own in groupby(changes, lambda one: (one.sae, one.layer, one.feature)):
        history = [{"text": one.text, "author": one.author, "time": one.time} for one in own][::-1]
        label = history[0]["text"]
        features.append({"sae": sae, "layer": layer, "feature": feature, "label": label, "history": history})
    return {"format": FORMAT, "version": VERSION, "model": model, "features": features}


def read(content: bytes, name: str = "labels") -> list[Change]:
    """The changes that such a file holds.

    Raises:
        Refusal: it is no such file, or an entry of it is wrong; the message names the entry and the field.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refusal(UNUSABLE, f"{name}: is not JSON ({error}); give a file that the labels' export wrote") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != VERSION:
        raise Refusal(
            UNUSABLE, f"{name}: is no labels file (format {FORMAT!r}, version {VERSION}); give one that export wrote"
        )
    model = _text(document.get("model"), f"{name}: model", 1000)
    return [change for place, entry in _entries(document, "features", name) for change in _read(entry, model, place)]


def label_text(text: Any, field: str = "text") -> str:
    """A label's text, on one line.

    Raises:
        Refusal: it is empty, too long or no text.
    """
    return _text(text, field, LONGEST_TEXT)


def author_name(author: Any, field: str = "author") -> str:
    """The name of who labels.

    Raises:
        Refusal: it is empty, too long or no text.
    """
    return _text(author, field, LONGEST_AUTHOR)


def _read(entry: Mapping[str, Any], model: str, place: str) -> Iterator[Change]:
    sae = entry.get("sae")
    if not isinstance(sae, str) or not _SAE.fullmatch(sae):
        raise Refusal(UNUSABLE, f"{place}.sae: {sae!r} is no artefact of an SAE (step/fingerprint)")
    feature, layer = (_number(entry.get(field), f"{place}.{field}") for field in ("feature", "layer"))
    for where, change in _entries(entry, "history", place):
        text = change.get("text")
        yield Change(
            *(sae, feature, layer, model),
            text=None if text is None else label_text(text, f"{where}.text"),
            author=author_name(change.get("author"), f"{where}.author"),
            time=_time(change.get("time"), f"{where}.time"),
        )


def _entries(holder: Mapping[str, Any], field: str, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found = holder.get(field)
    if not isinstance(found, list):
        raise Refusal(UNUSABLE, f"{place}.{field}: is no list")
    for number, entry in enumerate(found):
        if not isinstance(entry, dict):
            raise Refusal(UNUSABLE, f"{place}.{field}[{number}]: is no entry with fields")
        yield f"{place}.{field}[{number}]", entry


def _text(value: Any, field: str, most: int) -> str:
    if not isinstance(value, str):
        raise Refusal(UNUSABLE, f"{field}: {type(value).__name__} is no text")
    line = " ".join(value.split())
    odd = next((letter for letter in line if unicodedata.category(letter) in ("Cc", "Cs")), None)
    if odd is not None:
        raise Refusal(UNUSABLE, f"{field}: holds the control character {odd!r}; remove it")
    if not 1 <= len(line) <= most:
        raise Refusal(UNUSABLE, f"{field}: has {len(line)} characters; write 1 to {most}")
    return line


def _number(value: Any, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LARGEST:
        raise Refusal(UNUSABLE, f"{field}: {value!r} is no number from 0 on")
    return value


def _time(value: Any, field: str) -> str:
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    except (TypeError, ValueError, OverflowError) as error:
        raise Refusal(UNUSABLE, f"{field}: {value!r} is no time (ISO 8601)") from error
