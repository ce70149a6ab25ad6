"""What a running explorer serves, and how a request reaches it."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from fastapi import Depends, Path, Query, Request

from explorer.asking.looked import Looked
from explorer.labels.store import FeatureLabels
from explorer.reading.library import Library, ShownLayer, which_layers
from explorer.reading.refusals import CONFLICT, NOT_THERE, WRONG, Refusal
from explorer.server.pages import Page


@dataclass(frozen=True)
class Served:
    """The studies, their labels, and the study and layer that are meant where an address names none."""

    library: Library
    labels: FeatureLabels
    study: str | None = None
    layer: int | None = None

    def named_study(self, asked: str | None) -> str:
        """The study that is asked for, or the default one.

        Raises:
            Refusal: neither is there.
        """
        if asked is None and self.study is None:
            raise Refusal(
                WRONG, "no study is named and none is the default; name one (?study=NAME), or start with one STUDY"
            )
        return str(asked if asked is not None else self.study)

    def named_layer(self, study: str | None, layer: int | None) -> ShownLayer:
        """The layer that is asked for, or the default one, or the study's only one.

        Raises:
            Refusal: none of them is there.
        """
        name = self.named_study(study)
        number = layer if layer is not None else self.layer
        if number is None:
            there = self.library.study(name).layers
            if len(there) == 1:
                return self.library.layer(name, there[0])
            if not there:
                raise Refusal(CONFLICT, f"study {name}: {which_layers(self.library.study(name))}")
            known = ", ".join(map(str, there))
            raise Refusal(
                WRONG,
                f"no layer is named and none is the default; name one of {known} (&layer=N), or start with --layer N",
            )
        return self.library.layer(name, number)


async def _served(request: Request) -> Served:
    served: Served = request.app.state.served
    return served


ServedNow = Annotated[Served, Depends(_served)]
StudyName = Annotated[str, Path(max_length=200, description="A study's key, title or name.", examples=["demo"])]
LayerNumber = Annotated[int, Path(ge=0, lt=2**16, description="A layer of the study.", examples=[17])]
FeatureNumber = Annotated[int, Path(ge=0, lt=2**31, description="A feature of the layer's SAE.", examples=[42])]
AskedStudy = Annotated[str | None, Query(max_length=200, description="A study; else the default one.")]
AskedLayer = Annotated[int | None, Query(ge=0, lt=2**16, description="A layer; else the default one.")]
Version = Annotated[
    str | None, Query(max_length=40, description="The first page's version: 409 if the layer is another now.")
]
MOST_PAGES = 10**6


class Asked(NamedTuple):
    """A request about one layer."""

    request: Request
    served: Served
    study: str | None
    layer: int | None
    version: str | None

    def open(self) -> ShownLayer:
        """The layer that is asked for, or the default one.

        Raises:
            Refusal: it is not there, or was made again since the first page that `version` is of.
        """
        shown = self.served.named_layer(self.study, self.layer)
        if self.version is not None and self.version != shown.version:
            raise Refusal(CONFLICT, f"version: the layer was made again, is {shown.version} now; start at page 1")
        return shown

    def feature(self, feature: int) -> ShownLayer:
        """The same, which has this feature.

        Raises:
            Refusal: it has not.
        """
        shown = self.open()
        last = shown.indexed.index.num_features - 1
        if not 0 <= feature <= last:
            here = f"layer {shown.indexed.layer} has features 0-{last}"
            raise Refusal(NOT_THERE, f"feature {feature} is not there; {here}")
        return shown

    def look(self) -> tuple[ShownLayer, Looked]:
        """The layer that is asked for, with its activations and its SAE, opened between two looks that agree.

        Raises:
            Refusal: it is not there, or is being made again.
            BadInput: a file of it is damaged.
        """
        shown = self.open()
        again = f"layer {shown.indexed.layer} of {shown.study.title} is being made again; ask once more in a moment"
        try:
            looked = Looked.shown(shown)
        except FileNotFoundError as error:
            raise Refusal(CONFLICT, again) from error
        if self.open().version != shown.version:
            raise Refusal(CONFLICT, again)
        return shown, looked


async def _in_path(
    request: Request, served: ServedNow, study: StudyName, layer: LayerNumber, version: Version = None
) -> Asked:
    return Asked(request, served, study, layer, version)


async def _in_query(
    request: Request, served: ServedNow, study: AskedStudy = None, layer: AskedLayer = None, version: Version = None
) -> Asked:
    return Asked(request, served, study, layer, version)


async def _default(request: Request, served: ServedNow) -> Asked:
    return Asked(request, served, None, None, None)


async def _page(
    page: Annotated[int, Query(ge=1, le=MOST_PAGES, description="The page, from 1 on.")] = 1,
    per_page: Annotated[int, Query(ge=1, le=200, description="Rows per page.")] = 50,
) -> Page:
    return Page(page, per_page)


InPath = Annotated[Asked, Depends(_in_path)]
InQuery = Annotated[Asked, Depends(_in_query)]
ByDefault = Annotated[Asked, Depends(_default)]
AskedPage = Annotated[Page, Depends(_page)]
