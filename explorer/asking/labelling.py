"""A feature's label and its history, as answers; and labels set, removed, exported and imported."""

import getpass
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import BadInput
from core.reading.study import OpenedStudy
from core.store.workspace import Workspace
from explorer.asking.answer import Answer
from explorer.asking.looked import Looked
from explorer.labels.files import author_name, label_text, read, written
from explorer.labels.store import FILE, Change, FeatureLabels, Labelled, model_name

_HISTORY = {"text": pl.String, "author": pl.String, "time": pl.String}


def labels_of(workspace: Workspace) -> FeatureLabels:
    """The labels of a workspace."""
    return FeatureLabels(workspace.root / FILE)


def shown(labels: FeatureLabels, looked: Looked, feature: int) -> Answer:
    """A feature's label and every change of it, the latest first.

    Raises:
        BadInput: there is no such feature, or the labels cannot be read.
    """
    looked.view.feature(feature)
    history = labels.history(looked.sae, feature)
    label = history[0].text if history else None
    rows = [(one.text, one.author, one.time) for one in history]
    table = pl.DataFrame(rows, schema=_HISTORY, orient="row")
    lines = (f"label: {label}" if label else "It has no label.",)
    return Answer(looked.title(feature), lines, {"history": table} if history else {})


def set_label(labels: FeatureLabels, looked: Looked, feature: int, text: str | None, author: str | None) -> Change:
    """Set a feature's label, or remove it where there is no text; what it was stays in its history.

    Raises:
        BadInput: there is no such feature, the text or name cannot be kept, or the labels cannot be written.
    """
    looked.view.feature(feature)
    name = author_name(author or this_user(), "--author")
    kept = None if text is None else label_text(text, "the label")
    labelled = Labelled(looked.sae, feature, looked.view.layer, model_name(looked.study.config))
    return labels.put(labelled, kept, name)


def listed(labels: FeatureLabels, looked: Looked) -> Answer:
    """The labels of a layer's features.

    Raises:
        BadInput: the labels cannot be read.
    """
    found = sorted(labels.current(looked.sae).values(), key=lambda change: change.feature)
    rows = [(one.feature, one.text, one.author, one.time) for one in found]
    table = pl.DataFrame(rows, schema={"feature": pl.UInt32, **_HISTORY}, orient="row")
    lines = () if rows else ("No feature of this SAE has a label; an SAE that is trained again has none of its own.",)
    return Answer(looked.title(), lines, {"labels": table} if rows else {})


def exported(labels: FeatureLabels, study: OpenedStudy) -> str:
    """All labels of a study's model with their history, as the file that `imported` takes.

    Raises:
        BadInput: the labels cannot be read.
    """
    model = model_name(study.config)
    return labels_text(written(model, labels.of_model(model)))


def labels_text(document: Mapping[str, Any]) -> str:
    """A document of labels as the text of its file."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def imported(labels: FeatureLabels, path: Path) -> tuple[int, int]:
    """Add the changes of an exported file, all or none: how many it has, and how many were not here yet.

    Raises:
        BadInput: the file cannot be read or is none that was exported, or the labels cannot be written.
    """
    changes = read(labels_file(path), path.name)
    return len(changes), labels.merge(changes)


def labels_file(path: Path) -> bytes:
    """The content of a file that the user names.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error


def this_user() -> str:
    """Who labels where nobody is named: the user of this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"
