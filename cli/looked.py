"""The layer that a `saeflow feature` command looks at, and the options that say so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import polars as pl
import typer

from cli.intervene import Plan, Varied, run_varied
from core.data.languages import Language
from core.errors import BadInput
from core.reading.study import OpenedStudy, open_by_name
from flows.runtime.settings import read_settings

FeatureArgument = Annotated[int, typer.Argument(min=0, metavar="FEATURE", help="Its number.", show_default=False)]
StudyOption = Annotated[
    str | None, typer.Option("--study", "-s", help="A study or variant (default: the one that ran last).")
]
LayerOption = Annotated[int | None, typer.Option("--layer", "-l", help="The layer (default: the study's only one).")]
LanguageOption = Annotated[str | None, typer.Option(help="Of the captions (default: the study's first).")]
WhereOption = Annotated[
    str | None, typer.Option(help="Rows of one position set, such as image or last-prompt (default: all).")
]
TopOption = Annotated[int, typer.Option("--top-k", min=1, help="Rows of a table.")]
ExamplesOption = Annotated[int, typer.Option("--max-examples", min=1, help="Examples of each strength.")]
InterveneOption = Annotated[bool, typer.Option("--intervene", help="Vary the inputs and run the model again.")]
ImagesOption = Annotated[int, typer.Option(min=2, help="With --intervene: test images, one of each pair of twins.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a page to this file instead.")]


@dataclass(frozen=True)
class Looked:
    """A layer of a study, opened."""

    study: OpenedStudy
    view: Any

    @classmethod
    def at(cls, study: str | None, layer: int | None) -> "Looked":
        """Open the study that is meant, and its layer.

        Raises:
            BadInput: there is none, or the layer has to be named.
        """
        workspace = read_settings().workspace
        records = workspace.records()
        if study is None and not records:
            raise BadInput(f"no study has run in {workspace.root}; `saeflow run demo` runs one")
        opened = open_by_name(workspace, study if study is not None else str(records[0]["key"]))
        if layer is None and len(opened.layers) != 1:
            there = ", ".join(map(str, opened.layers)) or "none yet"
            raise BadInput(f"study {opened.title}: say which layer, as in --layer 17; there are {there}")
        return cls(opened, opened.layer(opened.layers[0] if layer is None else layer))

    def title(self, *features: int) -> str:
        """What is looked at."""
        names = " and ".join(f"feature {feature}" for feature in features) or "features"
        return f"{names} of layer {self.view.layer} · {self.study.title}"

    def language(self, asked: str | None) -> Language:
        """The language that is meant.

        Raises:
            BadInput: the study has no such captions.
        """
        known = self.study.languages
        if asked is not None and asked not in known:
            raise BadInput(f"--language {asked}: the study has {', '.join(known)}")
        return cast(Language, asked or known[0])

    def varied(
        self, feature: int, attributes: tuple[str, ...], words: tuple[str, ...], images: int, language: str | None
    ) -> Varied:
        """The feature where something of the inputs is varied.

        Raises:
            BadInput: there is no such feature, or nothing that could be varied.
        """
        return run_varied(self.study, self.view, feature, Plan(attributes, words, images, self.language(language)))

    def means(self, feature: int, language: str | None, where: str | None) -> tuple[pl.DataFrame, str]:
        """The feature's mean activation by image, and in words where it is measured.

        Raises:
            BadInput: there is no such feature, language or position set.
        """
        from core.features.breakdown import feature_means

        own = self.language(language)
        sets = [where] if where else sorted(set(self.view.groups.table["position_set"]))
        words = f"mean activation over an image's {where or 'image, prompt and caption'} rows, {own}"
        return feature_means(self.view.index, self.view.groups, feature, own, sets), words
