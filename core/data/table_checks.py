"""A table's rows, checked one by one: each becomes a sample or a drop with its reason."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.data.arabic import normalise
from core.data.drops import Drop
from core.data.images import content_name
from core.data.sample_frame import Sample, prefixed
from core.data.table_columns import PAIR, TWIN
from core.data.table_values import Row, WrongCell, as_name, as_picture, is_missing, shown
from core.study.data import Columns

_BLANK = frozenset("\u2800\u3164\u115f\u1160\uffa0")
"""Letters and symbols that show nothing: the empty Braille pattern and Hangul fillers."""


class _Fault(ValueError):
    """What is wrong with a row: `field` and `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.field = name
        self.reason = reason


@dataclass
class RowChecker:
    """Remembers what earlier rows were called, so that ids are unique and an image id is one picture.

    A sample's `image` is the path of its picture, or for a picture that stands in the table the name of its content;
    `stored` says in which row such a picture is found. `there` are the columns that are read,
    `notes` say what is left out.
    """

    names: Columns
    there: Sequence[str]
    max_caption_chars: int
    samples: list[Sample] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    notes: Sequence[str] = ()
    _ids: dict[str, int] = field(default_factory=dict)
    _images: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    _stored_ids: dict[str, str] = field(default_factory=dict)

    def take(self, row: Row) -> None:
        """Keep the row as a sample, or drop it for the first thing that is wrong with it."""
        self.rows += 1
        sample_id = None
        try:
            if row.fault is not None:
                raise _Fault("row", row.fault)
            sample_id = self._sample_id(row)
            sample = self._sample(row, sample_id)
        except _Fault as fault:
            name = None if sample_id is None else shown(sample_id)
            self.drops.append(Drop(row.number, name, fault.field, fault.reason))
            return
        self._ids[sample_id] = row.number
        self._images.setdefault(sample.image_id, (sample.image, row.number))
        self.samples.append(sample)

    def _sample_id(self, row: Row) -> str:
        name = self.names.sample_id
        return f"{row.number:08d}" if name is None else _text(row, name, "no id")

    def _sample(self, row: Row, sample_id: str) -> Sample:
        if sample_id in self._ids:
            first = self._ids[sample_id]
            raise _Fault(str(self.names.sample_id), f"the id {shown(sample_id)!r} stands in row {first} already")
        captions = [self._caption(row, name) for name in (self.names.caption_en, self.names.caption_ar)]
        image, path = self._image(row)
        return Sample(
            row=row.number,
            sample_id=sample_id,
            image_id=self._image_id(row, sample_id, image, path),
            image=image,
            caption_en=captions[0],
            caption_ar=captions[1],
            gender_en=None,
            gender_ar=None,
            twin_id=_name(row, TWIN, "a twin's id") if self._has_own(TWIN) else None,
            attributes=self._attributes(row),
        )

    def _caption(self, row: Row, name: str | None) -> str | None:
        if name is None:
            return None
        value = row.values.get(name)
        if is_missing(value) or (isinstance(value, str) and not is_visible(normalise(value))):
            raise _Fault(name, "empty caption")
        if not isinstance(value, str):
            raise _Fault(name, f"a caption is text, not {type(value).__name__}")
        caption = value.strip()
        if (control := control_character(caption)) is not None:
            raise _Fault(name, f"the control character U+{ord(control):04X}; remove it")
        if len(caption) > self.max_caption_chars:
            raise _Fault(name, f"{len(caption)} characters, more than max_caption_chars = {self.max_caption_chars}")
        return caption

    def _image(self, row: Row) -> tuple[str | None, str | None]:
        """What stands for the picture in `Sample.image`, and its path."""
        name = self.names.image
        if name is None:
            return None, None
        try:
            picture = as_picture(row.values.get(name))
        except WrongCell as error:
            raise _Fault(name, str(error)) from error
        if picture is None:
            raise _Fault(name, "no image path")
        if picture.content is None:
            return picture.path, picture.path
        content = content_name(picture.content)
        self.stored.setdefault(content, row.number)
        return content, picture.path

    def _image_id(self, row: Row, sample_id: str, image: str | None, path: str | None) -> str:
        name = self.names.image_id
        if name is not None:
            image_id = _text(row, name, "no image id")
            earlier, first = self._images.get(image_id, (image, row.number))
            if earlier != image:
                raise _Fault(name, f"{shown(image_id)!r} is another picture in row {first}")
            return image_id
        if image is None:
            return sample_id
        # A path beside stored pictures need not be theirs alone: `datasets` keeps the last part of it.
        free = (one for one in (path, image, f"./{image}") if one and self._images.get(one, (image,))[0] == image)
        return self._stored_ids.setdefault(image, next(free)) if image in self.stored else next(free)

    def _attributes(self, row: Row) -> dict[str, Any]:
        """The columns that the study does not name; the one that pairs rows is called `pair_id`."""
        pair = self.names.pair or (PAIR if self._has_own(PAIR) else None)
        named = {pair, TWIN, *(getattr(self.names, role) for role in Columns.model_fields)}
        found = {_free(name, self.there): row.values.get(name) for name in self.there if name not in named}
        return found if pair is None else {**found, PAIR: _name(row, pair, "a pair")}

    def _has_own(self, name: str) -> bool:
        return name in self.there and name not in {getattr(self.names, role) for role in Columns.model_fields}


def attribute_types(types: Mapping[str, Any], there: Sequence[str]) -> dict[str, Any]:
    """The types of the samples' attributes, where the table has types; `there` are the columns that were read."""
    return {_free(name, there): types[name] for name in there if name in types}


def is_visible(text: str) -> bool:
    """Whether a reader sees anything: controls, spaces, fillers and marks without a letter are not seen."""
    return any(unicodedata.category(char)[0] not in "CZM" and char not in _BLANK for char in text)


def control_character(text: str) -> str | None:
    """The first control character that is no space; null where there is none."""
    return next((char for char in text if unicodedata.category(char) == "Cc" and not char.isspace()), None)


def _free(name: str, there: Sequence[str]) -> str:
    return prefixed(name, there) if name == PAIR else name


def _name(row: Row, name: str, what: str) -> str | None:
    try:
        return as_name(row.values.get(name), what)
    except WrongCell as error:
        raise _Fault(name, str(error)) from error


def _text(row: Row, name: str, empty: str) -> str:
    text = _name(row, name, "an id")
    if text is None:
        raise _Fault(name, empty)
    return text
