"""The questions of `saeflow feature`, asked of a layer that is served."""

import tempfile

from fastapi import APIRouter, Response

from core.errors import BadInput
from explorer.asking.questions import AnyQuestion, OfFeature
from explorer.asking.sent import SentAnswer
from explorer.reading.refusals import CONFLICT, UNUSABLE, Refusal
from explorer.server.answers import json_answer
from explorer.server.pages import of_layer
from explorer.server.schema import Answered
from explorer.server.served import Asked, InPath, InQuery

router = APIRouter(tags=["questions"])


@router.post("/studies/{study}/layers/{layer}/ask", response_model=Answered)
def ask(asked: InPath, question: AnyQuestion) -> Response:
    """What `saeflow feature` answers: sentences, and tables with the kinds of their columns. The model may run."""
    return _answer(asked, question)


@router.post("/ask", response_model=Answered)
def ask_default(asked: InQuery, question: AnyQuestion) -> Response:
    """The same of the study and layer that the query names, or of the default ones."""
    return _answer(asked, question)


def _answer(asked: Asked, question: AnyQuestion) -> Response:
    if isinstance(question, OfFeature):
        asked.feature(question.feature)
    shown, looked = asked.look()
    try:
        answer = question.answer(looked)
    except Refusal:
        raise
    except BadInput as error:
        raise Refusal(UNUSABLE, str(error)) from error
    except OSError as error:
        place = error.filename or tempfile.gettempdir()
        raise Refusal(CONFLICT, f"{place}: {error.strerror or error}; see to the disk and ask again") from error
    return json_answer(asked.request, of_layer(shown, **SentAnswer.of(answer).model_dump()))
