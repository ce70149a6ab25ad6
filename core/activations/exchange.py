"""A folder of activations as it is handed from one program to another: `index.json`, a matrix a layer, the tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from core.activations.matrices import Matrix, open_matrix
from core.errors import BadInput
from core.study.section import Positive, Section
from core.study.sites import Site

Format = Literal["npy", "parquet", "zarr"]
INDEX = "index.json"
TOKENS_FILE = "tokens.parquet"


class Index(Section):
    """What `index.json` says; `layers` is all it must."""

    layers: Annotated[dict[Annotated[int, Field(ge=0)], str], Field(min_length=1)]
    """The file of each layer: .npy, .safetensors, .parquet or .zarr, below the folder."""
    tokens: str = TOKENS_FILE
    """A Parquet table with a row for each row of the matrices, in their order."""
    site: Site | None = None
    """What was read of a layer; null believes the study's `capture.site`."""
    rows: Positive | None = None
    """Rows of every matrix; checked where it is given."""
    d_model: Positive | None = None
    """Numbers a row; checked where it is given."""
    dtype: str | None = None
    """For the reader: each file says itself what it holds."""

    def write(self, folder: Path) -> None:
        """Write `index.json` into `folder`."""
        (folder / INDEX).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_index(folder: Path) -> Index:
    """The folder's `index.json`.

    Raises:
        BadInput: it is missing or no JSON, or a field of it is wrong.
    """
    path = folder / INDEX
    try:
        return Index.model_validate_json(path.read_bytes())
    except OSError as error:
        mend = "docs/activations.md shows one"
        raise BadInput(f"capture.precomputed: {path} cannot be read ({error.strerror}); {mend}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{path}: {f'{field}: ' if field else ''}{first['msg']}") from error


def open_layers(folder: Path, index: Index, layers: Sequence[int]) -> dict[int, Matrix]:
    """The matrices [T, D] of these layers, all of one size.

    Raises:
        BadInput: a layer is not in the index, a file cannot be read, or two disagree in rows or width.
    """
    for layer in layers:
        if layer not in index.layers:
            there = ", ".join(map(str, sorted(index.layers)))
            raise BadInput(f"capture.layers: layer {layer} is not in {folder / INDEX}, which has {there}")
    matrices = {layer: open_matrix(folder / index.layers[layer]) for layer in layers}
    first = matrices[layers[0]]
    rows, width = index.rows or first.rows, index.d_model or first.width
    said = f"{INDEX} says" if index.rows or index.d_model else f"{first.path.name} has"
    for matrix in matrices.values():
        if (matrix.rows, matrix.width) != (rows, width):
            raise BadInput(
                f"{matrix.path}: {matrix.rows} rows of {matrix.width} numbers, {said} {rows} of {width}; "
                "all layers must have the same"
            )
    return matrices
