"""From a concept's YAML file, or its name, to its section and its table of sentences."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from core.errors import BadInput
from core.planning.loading import ENDINGS, explain, read_mapping, study_file
from core.study.scan import ConceptConfig


def find_concept(name: str, folders: Sequence[Path]) -> Path:
    """The concept file that `name` means: a path below one of `folders`, with or without `.yaml`.

    Raises:
        BadInput: there is no such file; the message lists the nearest name, or all of them.
    """
    if (path := study_file(name, folders)) is not None:
        return path
    known = sorted({path.stem for folder in folders[-1:] for end in ENDINGS[1:] for path in folder.glob(f"*{end}")})
    near = difflib.get_close_matches(Path(name).stem, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"concepts here: {', '.join(known) or 'none'}"
    looked = ", ".join(str(folder) for folder in folders)
    raise BadInput(f"concept {name!r}: no such file in {looked}; {hint}")


def load_concept(path: Path) -> ConceptConfig:
    """Read a concept file.

    Raises:
        BadInput: the file is no YAML mapping, or a field is wrong; one line per field.
    """
    raw = read_mapping(path, "a concept is a mapping (name, description, sentences, language)")
    try:
        return ConceptConfig.model_validate(raw)
    except ValidationError as error:
        raise BadInput("\n".join(f"{path.name}: {line}" for line in explain(error, ConceptConfig))) from error


def sentences_path(concept: ConceptConfig, path: Path) -> Path:
    """Where the table of sentences of the concept in the file `path` lies."""
    return path.parent / Path(concept.sentences).expanduser()
