"""Questions as an OpenAI-compatible endpoint takes them, and what its answers hold."""

import base64
import json
from typing import Any, NamedTuple

from core.chat.questions import Picture, Question
from core.data.table_values import shown

_MOST_TOKENS = 2**40


class Answer(NamedTuple):
    """What came for one question. `kind` is `answer` for a chat answer, usable or not; else `html` or `malformed`.

    `prompt_tokens` and `completion_tokens` are null where the endpoint does not tell them.
    """

    kind: str
    text: str | None
    failure: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def request_body(model: str, question: Question) -> dict[str, Any]:
    """The JSON of a question; pictures are data URLs between its texts."""
    texts = [part for part in question.parts if isinstance(part, str)]
    content: str | list[dict[str, Any]] = _writable("\n\n".join(texts))
    if len(texts) < len(question.parts):
        content = [_part(part) for part in question.parts]
    system = [{"role": "system", "content": _writable(question.system)}] if question.system else []
    return {
        "model": model,
        "messages": [*system, {"role": "user", "content": content}],
        "max_tokens": question.max_tokens,
        "temperature": question.temperature,
    }


def _part(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": _writable(part)}
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(part.png).decode('ascii')}"},
    }


def read_answer(body: str) -> Answer:
    """What the body of a successful HTTP answer holds."""
    if body.lstrip()[:1] == "<":
        return Answer("html", None, f"the endpoint answered with a web page: {shown(body.strip(), 60)}")
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        ended = choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Answer("malformed", None, f"the answer is no chat completion: {shown(body.strip(), 60)}")
    text = _text(content)
    if text is None and content is not None:
        return Answer("malformed", None, f"choices[0].message.content is no text: {shown(content, 60)}")
    told = _tokens(answer.get("usage"))
    if refusal:
        return Answer("answer", None, f"the model refuses: {_writable(shown(refusal))}", *told)
    if ended == "content_filter":
        return Answer("answer", None, "the endpoint's content filter stopped the answer", *told)
    if not (text or "").strip():
        short = "its tokens were used up before any text came (max_tokens)"
        return Answer("answer", None, short if ended == "length" else "the answer is empty", *told)
    return Answer("answer", text, "", *told)


def _text(content: Any) -> str | None:
    """The text of an answer, which some endpoints send in parts."""
    if isinstance(content, list):
        parts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return _writable("".join(parts)) if parts else None
    return _writable(content) if isinstance(content, str) else None


def _writable(text: str) -> str:
    """The text without halves of characters, which no file and no request can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _tokens(usage: Any) -> tuple[int | None, int | None]:
    """Prompt and completion tokens that were counted; both null where one of them is not told."""
    told = usage if isinstance(usage, dict) else {}
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    if not (isinstance(prompt, int) and isinstance(completion, int)):
        return None, None
    return (
        (prompt, completion) if 0 <= min(prompt, completion) <= max(prompt, completion) < _MOST_TOKENS else (None, None)
    )
