"""Which features fire on a text or picture: the study's model, opened when first asked for, run once per question."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from core.errors import BadInput
from core.pictures import BrokenImage, open_picture
from core.reading.study import OpenedStudy
from explorer.reading.refusals import CONFLICT, UNUSABLE, Refusal
from explorer.reading.study_model import opened_model

if TYPE_CHECKING:
    from core.features.fired import Fired

MOST_TEXT = 2000
"""Characters of a text, at most."""
_NAME = "search"
_NO_TEXT = "."
"""The caption of a picture alone: no row before a caption depends on it."""


class Question(NamedTuple):
    """What is searched for: a text in one of the study's languages (null: that of its script), a picture, or both."""

    text: str
    language: str | None = None
    picture: bytes | None = None


def what_fires(study: OpenedStudy, layer: int, question: Question) -> "Fired":
    """The tokens that capture would make of the question, and the features of the layer that fire on them.

    Raises:
        Refusal: the study's model is not here or another one, the question cannot be captured, or others ask.
        BadInput: the model or the SAE cannot be opened.
    """
    _check(question)
    language = _language(study, question)
    with opened_model(study, layer) as loaded, tempfile.TemporaryDirectory(prefix="saeflow-search-") as folder:
        from core.features.fired import fired  # PyTorch, transformers: seconds, which reading need not pay
        from core.sae.formats import load_sae

        sae = load_sae(study.sae_folder(layer))
        pictures = _saved(question.picture, Path(folder))
        job = _job(study, layer, question.text.strip() or _NO_TEXT, language, pictures)
        try:
            found = fired(loaded, sae, job, Path(folder) / "rows")
        except BadInput as error:
            raise Refusal(UNUSABLE, str(error)) from error
        except OSError as error:
            raise Refusal(CONFLICT, f"{tempfile.gettempdir()}: {error.strerror or error}; free space there") from error
    return found if question.text.strip() else _only(found, pl.col("segment") != "caption")


def ordinary(found: "Fired", segment: str | None = None) -> "Fired":
    """The rows of a segment, or all, less the special ones; and what fires on them.

    Raises:
        Refusal: there are no rows of this segment.
    """
    own = _only(found, ~pl.col("special"))
    if segment is None:
        return own
    there = own.tokens["segment"].unique(maintain_order=True).to_list()
    if segment not in there:
        raise Refusal(UNUSABLE, f"segment: there are no rows of {segment[:20]!r}; give one of {', '.join(there)}")
    return _only(own, pl.col("segment") == segment)


def _only(found: "Fired", rows: pl.Expr) -> "Fired":
    tokens = found.tokens.filter(rows)
    return found._replace(tokens=tokens, entries=found.entries.filter(pl.col("index").is_in(tokens["index"].implode())))


def _check(question: Question) -> None:
    if question.picture is None and not question.text.strip():
        raise Refusal(UNUSABLE, "text: is empty; give a caption, or a picture")
    if len(question.text) > MOST_TEXT:
        raise Refusal(UNUSABLE, f"text: has {len(question.text)} characters; write at most {MOST_TEXT}")
    if question.picture is not None:
        try:
            open_picture(question.picture)
        except BrokenImage as error:
            raise Refusal(UNUSABLE, f"picture: is no picture ({error}); give a PNG, JPEG or the like") from error


def _language(study: OpenedStudy, question: Question) -> str:
    if question.language is not None:
        if question.language not in study.languages:
            raise Refusal(UNUSABLE, f"language: {question.language!r} is none of {', '.join(study.languages)}")
        return question.language
    from core.data.scripts import foreign_script  # a study's sections, which reading need not wait for

    own = (language for language in study.languages if foreign_script(question.text, language) is None)
    return next(own, study.languages[0])


def _saved(picture: bytes | None, folder: Path) -> Path | None:
    if picture is None:
        return None
    (folder / "pictures").mkdir()
    (folder / "pictures" / _NAME).write_bytes(picture)
    return folder / "pictures"


def _job(study: OpenedStudy, layer: int, text: str, language: str, pictures: Path | None) -> Any:
    from core.activations.requests import CaptureJob
    from core.study.model import CaptureConfig

    known = study.config
    config = CaptureConfig.model_validate({**known["capture"], "layers": [layer]})
    if config.site in ("vision_post", "projector") and pictures is None:
        raise Refusal(UNUSABLE, f"the study reads {config.site}, of pictures alone; give one")
    row = {"sample_id": _NAME, "image_id": _NAME, "image": _NAME if pictures else None, f"caption_{language}": text}
    asked = {name: str(known["model"].get(f"instruction_{name}", "")) for name in study.languages}
    return CaptureJob(pl.DataFrame([row]), pictures, config, asked, literal=True)
