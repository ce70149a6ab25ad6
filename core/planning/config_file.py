"""From a YAML file, or its name, to one sort of configuration that is no study, with errors that name field and fix."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import BadInput
from core.planning.loading import ENDINGS, explained, overridden, read_mapping, study_file
from core.study.variant import variant_of

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class ConfigFiles(Generic[T]):
    """A sort of file: what messages call it, its model (with `name` and `variant`), its shape in words, and in the name
    of a variant what is said in place of what."""

    word: str
    model: type[T]
    shape: str
    shorter: tuple[str, str] | None = None

    def find(self, name: str, folders: Sequence[Path]) -> Path:
        """The file that `name` means: a path below one of `folders`, with or without `.yaml`.

        Raises:
            BadInput: there is no such file; the message lists the nearest name, or all of the last folder's.
        """
        if (path := study_file(name, folders)) is not None:
            return path
        known = sorted({path.stem for folder in folders[-1:] for end in ENDINGS[1:] for path in folder.glob(f"*{end}")})
        near = difflib.get_close_matches(Path(name).stem, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"{self.word}s here: {', '.join(known) or 'none'}"
        looked = ", ".join(str(folder) for folder in folders)
        raise BadInput(f"{self.word} {name!r}: no such file in {looked}; {hint}")

    def load(self, path: Path, overrides: Iterable[str] = ()) -> T:
        """Read a file and apply `section.key=value` overrides to it, after which it is called.

        Raises:
            BadInput: the file is no YAML mapping, or a field is wrong.
        """
        raw = read_mapping(path, f"a {self.word} is {self.shape}")
        return self.changed(self.parse(raw, path.name), overridden(raw, overrides), path.name)

    def changed(self, own: T, fields: Mapping[str, Any], origin: str) -> T:
        """The configuration `fields`, called after what it sets otherwise than `own`.

        Raises:
            BadInput: a field is wrong.
        """
        made = self.parse(fields, origin)
        before, after = own.model_dump(mode="json"), made.model_dump(mode="json")
        if after["variant"] != before["variant"]:
            return made
        variant = variant_of(before, after)
        return made.model_copy(update={"variant": variant.replace(*self.shorter) if self.shorter else variant})

    def parse(self, raw: Mapping[str, Any], origin: str) -> T:
        """Validate a mapping; `origin` opens the error message.

        Raises:
            BadInput: one line a wrong field.
        """
        try:
            return self.model.model_validate(raw)
        except ValidationError as error:
            raise explained(error, origin, self.model) from error
