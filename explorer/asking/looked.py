"""The layer of a study that is looked at."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import polars as pl

from core.errors import BadInput
from core.reading.records import open_by_name
from core.reading.study import OpenedStudy
from core.store.workspace import Workspace
from explorer.asking.sentences import EVERYWHERE, WHERE
from explorer.reading.library import ShownLayer, which_layers

if TYPE_CHECKING:
    from core.data.languages import Language
    from core.features.layer_view import LayerView


def the_latest(workspace: Workspace) -> str:
    """The key of the study that ran last.

    Raises:
        BadInput: none has run.
    """
    records = workspace.records()
    if not records:
        raise BadInput(f"no study has run in {workspace.root}; `saeflow run demo` runs one")
    return str(records[0]["key"])


@dataclass(frozen=True)
class Looked:
    """A layer of a study, opened."""

    study: OpenedStudy
    view: "LayerView"

    @classmethod
    def at(cls, workspace: Workspace, study: str | None, layer: int | None) -> "Looked":
        """Open the study that is meant (by default the one that ran last), and its layer.

        Raises:
            BadInput: there is none, or the layer has to be named.
        """
        opened = open_by_name(workspace, study if study is not None else the_latest(workspace))
        if layer is None and len(opened.layers) != 1:
            if not opened.layers:
                raise BadInput(f"study {opened.title}: {which_layers(opened)}")
            there = ", ".join(map(str, opened.layers))
            raise BadInput(f"study {opened.title}: say which layer, as in --layer 17; there are {there}")
        return cls(opened, opened.layer(opened.layers[0] if layer is None else layer))

    @classmethod
    def shown(cls, shown: ShownLayer) -> "Looked":
        """A layer that a library shows, with its activations and its SAE.

        Raises:
            BadInput: a file of it is missing or damaged.
        """
        return cls(shown.study, shown.study.layer(shown.indexed.layer))

    def beside(self, layer: int) -> "Looked":
        """Another layer of the study.

        Raises:
            BadInput: it is not there.
        """
        return replace(self, view=self.study.layer(layer))

    @property
    def sae(self) -> str:
        """The reference of the SAE's artefact, which labels belong to."""
        return self.study.layer_artifacts(self.view.layer).sae.ref

    def title(self, *features: int) -> str:
        """What is looked at."""
        names = " and ".join(f"feature {feature}" for feature in features) or "features"
        return f"{names} of layer {self.view.layer} · {self.study.title}"

    def language(self, asked: str | None) -> "Language":
        """The language that is meant.

        Raises:
            BadInput: the study has no such captions.
        """
        known = self.study.languages
        if asked is not None and asked not in known:
            raise BadInput(f"--language {asked}: the study has {', '.join(known)}")
        return cast("Language", asked or known[0])

    def means(self, feature: int, language: str | None, where: str | None) -> tuple[pl.DataFrame, str]:
        """The feature's mean activation by image, and in words where it is measured.

        Raises:
            BadInput: there is no such feature, language or position set.
        """
        from core.features.breakdown import feature_means

        own = self.language(language)
        sets = [where] if where else sorted(set(self.view.groups.table["position_set"]))
        words = WHERE.format(where or EVERYWHERE, own)
        return feature_means(self.view.index, self.view.groups, feature, own, sets), words
