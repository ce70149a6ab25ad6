"""What an old configuration comes to: a study's fields, and notes for whoever reads the study file."""

from dataclasses import dataclass, field
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Lists in one line."""

    def ignore_aliases(self, data: object) -> bool:
        """No anchors."""
        return True


_Dumper.add_representer(list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, True))


@dataclass
class Converted:
    """The study's fields, what the user has to decide, what has no place here and why, and keys that nobody knows."""

    study: dict[str, Any] = field(default_factory=dict)
    decide: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any, origin: str = "") -> None:
        """Set the field with this dotted name; where the old key `origin` says another value than one before it, that
        is left to decide."""
        *sections, last = key.split(".")
        place = self.study
        for section in sections:
            place = place.setdefault(section, {})
        if place.setdefault(last, value) != value:
            self.decide.append(f"{key}: {place[last]!r} is written, and {origin or 'another key'} says {value!r}")

    def text(self, origin: str) -> str:
        """The study file, the notes as comments before it."""
        notes = [("to decide", self.decide), ("unknown, and left out", self.unknown), ("has no place here", self.left)]
        lines = [f"# {origin}, rewritten by `saeflow convert-config`."]
        for heading, notes_of_kind in notes:
            lines += [f"# {heading}: {_one_line(line)}" for line in notes_of_kind]
        study = yaml.dump(self.study, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
        return "\n".join(lines) + "\n" + study


def _one_line(text: str) -> str:
    """A comment ends where YAML sees a line end, of which it knows more than one."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
