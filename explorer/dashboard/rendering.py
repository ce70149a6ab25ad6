"""Pages out of templates: escaped, under a policy that lets them load from this server alone."""

import hashlib
from contextlib import suppress
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from core.errors import BadInput
from core.reading.study import OpenedStudy
from explorer.dashboard import links, words
from explorer.server.served import Served

if TYPE_CHECKING:
    from core.data.concept import Positions

POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style: a name, label or caption that got into a page unescaped would still do nothing."""
_STATIC = {
    "dashboard.css": ("explorer", "static", "text/css"),
    "dashboard.js": ("explorer", "static", "text/javascript"),
    "table.js": ("explorer", "static", "text/javascript"),
    "icon.svg": ("explorer", "static", "image/svg+xml"),
    "SaeflowSans-Regular.woff2": ("core", "figures/fonts", "font/woff2"),
    "SaeflowSans-Bold.woff2": ("core", "figures/fonts", "font/woff2"),
}
_A_YEAR = "private, max-age=31536000, immutable"


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """The page that a template makes of what it is given, with the status of what it says."""
    environment = _environment(spoken_of(context.get("study")))
    text = environment.get_template(template).render(path=request.url.path, **context)
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": "private, no-cache",
        "Referrer-Policy": "same-origin",  # with no-referrer a form sends `Origin: null`, which is refused as foreign
    }
    return HTMLResponse(text, status, headers)


def static_file(name: str) -> Response | None:
    """The style, script or font of that name; null for any other name."""
    if name not in _STATIC:
        return None
    return Response(_content(name), media_type=_STATIC[name][2], headers={"Cache-Control": _A_YEAR})


def served_by(request: Request) -> Served:
    """What the running explorer serves."""
    served: Served = request.app.state.served
    return served


@cache
def _content(name: str) -> bytes:
    package, folder, _ = _STATIC[name]
    return files(package).joinpath(folder, name).read_bytes()


@cache
def _version() -> str:
    """Another for every change of style or script, so that a browser never keeps an old one."""
    return hashlib.sha256(b"".join(map(_content, _STATIC))).hexdigest()[:10]


class Spoken(NamedTuple):
    """A concept's words, as the pages of a study that asks about it have them."""

    name: str
    adjective: str
    sides: tuple[str, str]
    positions: "Positions"


def spoken_of(study: Any) -> Spoken:
    """The words of the concept that a study's features are ranked by; without a study those of the built-in one."""
    from core.data.known_concepts import THE_CONCEPT  # a study's sections, which a start need not wait for

    concept = THE_CONCEPT
    if isinstance(study, OpenedStudy):
        with suppress(BadInput):  # its samples are gone; the page says so
            concept = study.concept
    return Spoken(concept.name, concept.adjective, concept.sides, concept.positions)


@cache
def _environment(concept: Spoken) -> jinja2.Environment:
    """The templates in a concept's words: macros that one imports read them too."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("explorer"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "num": words.number,
        "moment": words.moment,
        "p": words.probability,
        "fixed": words.fixed,
        "side": partial(words.side, sides=concept.sides),
        "percent": words.percent,
        "interval": words.interval,
        "heading": words.name,
        "token": words.token,
        "language": words.language,
        "direction": words.direction,
        "isolated": words.isolated,
    }
    environment.globals |= {"at": links, "version": _version(), "concept": concept}
    return environment
