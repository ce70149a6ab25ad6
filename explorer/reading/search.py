"""Which features fire on a text or picture: the study's model, opened when first asked for, run once per question."""

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from core.errors import BadInput
from core.pictures import BrokenImage, open_picture
from core.reading.study import OpenedStudy
from explorer.reading.library import ShownLayer
from explorer.reading.refusals import BUSY, CONFLICT, UNUSABLE, Refusal
from explorer.reading.study_model import open_model

if TYPE_CHECKING:
    from core.features.fired import Fired

_PATIENCE_S = 30.0
_NAME = "search"
_NO_TEXT = "."
"""The caption of a picture alone: no row before a caption depends on it."""


class Question(NamedTuple):
    """What is searched for: a text in one of the study's languages (null: that of its script), a picture, or both."""

    text: str
    language: str | None = None
    picture: bytes | None = None


class Search:
    """Questions to studies' models; one at a time runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def fired(self, shown: ShownLayer, question: Question) -> "Fired":
        """The tokens that capture would make of the question, and the features of the layer that fire on them.

        Raises:
            Refusal: the study's model is not here or another one, the question cannot be captured, or others ask.
            BadInput: the model or the SAE cannot be opened.
        """
        language = _language(shown.study, question)
        picture = None if question.picture is None else _checked(question.picture)
        with self._alone(), tempfile.TemporaryDirectory(prefix="saeflow-search-") as folder:
            from core.features.fired import fired  # PyTorch, transformers: seconds, which reading need not pay
            from core.sae.formats import load_sae

            loaded = open_model(shown.study, shown.indexed.layer)
            sae = load_sae(shown.study.sae_folder(shown.indexed.layer))
            job = _job(shown, question.text.strip() or _NO_TEXT, language, _saved(picture, Path(folder)))
            try:
                found = fired(loaded, sae, job, Path(folder) / "rows")
            except BadInput as error:
                raise Refusal(UNUSABLE, str(error)) from error
            except OSError as error:
                raise Refusal(
                    CONFLICT, f"{tempfile.gettempdir()}: {error.strerror or error}; free space there"
                ) from error
        return found if question.text.strip() else _before_captions(found)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=_PATIENCE_S):
            raise Refusal(BUSY, "the model is busy with another question; ask again in a moment")
        try:
            yield
        finally:
            self._lock.release()


def _language(study: OpenedStudy, question: Question) -> str:
    if question.language is not None:
        if question.language not in study.languages:
            raise Refusal(UNUSABLE, f"language: {question.language!r} is none of {', '.join(study.languages)}")
        return question.language
    from core.data.scripts import foreign_script  # a study's sections, which reading need not wait for

    own = (language for language in study.languages if foreign_script(question.text, language) is None)
    return next(own, study.languages[0])


def _checked(picture: bytes) -> bytes:
    try:
        open_picture(picture)
    except BrokenImage as error:
        raise Refusal(
            UNUSABLE, f"the body is no picture ({error}); send the bytes of a PNG, JPEG or the like"
        ) from error
    return picture


def _saved(picture: bytes | None, folder: Path) -> Path | None:
    if picture is None:
        return None
    (folder / "pictures").mkdir()
    (folder / "pictures" / _NAME).write_bytes(picture)
    return folder / "pictures"


def _job(shown: ShownLayer, text: str, language: str, pictures: Path | None) -> Any:
    from core.activations.requests import CaptureJob
    from core.study.model import CaptureConfig

    study: Mapping[str, Any] = shown.study.config
    config = CaptureConfig.model_validate({**study["capture"], "layers": [shown.indexed.layer]})
    if config.site in ("vision_post", "projector") and pictures is None:
        raise Refusal(UNUSABLE, f"the study reads {config.site}, of pictures alone; POST a picture")
    row = {"sample_id": _NAME, "image_id": _NAME, "image": _NAME if pictures else None, f"caption_{language}": text}
    asked = {name: str(study["model"].get(f"instruction_{name}", "")) for name in shown.study.languages}
    return CaptureJob(pl.DataFrame([row]), pictures, config, asked, literal=True)


def _before_captions(found: "Fired") -> "Fired":
    tokens = found.tokens.filter(pl.col("segment") != "caption")
    return found._replace(tokens=tokens, entries=found.entries.filter(pl.col("index").is_in(tokens["index"].implode())))
