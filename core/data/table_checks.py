"""A table's rows, checked one by one: each becomes a sample or a drop with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from core.data.arabic import normalise
from core.data.drops import Drop
from core.data.gender import label_caption
from core.data.sample_frame import Sample
from core.data.table_rows import Row
from core.study.data import Columns


class _Fault(ValueError):
    """What is wrong with a row: `field` and `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.field = name
        self.reason = reason


@dataclass
class RowChecker:
    """Remembers what earlier rows were called, so that ids are unique and an image id is one picture."""

    names: Columns
    there: Sequence[str]
    max_caption_chars: int
    samples: list[Sample] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    rows: int = 0
    _ids: dict[str, int] = field(default_factory=dict)
    _images: dict[str, tuple[str | None, int]] = field(default_factory=dict)

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
            self.drops.append(Drop(row.number, sample_id, fault.field, fault.reason))
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
            raise _Fault(str(self.names.sample_id), f"the id {sample_id!r} stands in row {first} already")
        english = self._caption(row, self.names.caption_en)
        arabic = self._caption(row, self.names.caption_ar)
        image = None
        if self.names.image is not None:
            image = PurePath(_text(row, self.names.image, "no image path")).as_posix()
        mapped = {getattr(self.names, role) for role in Columns.model_fields}
        twin = row.values.get("twin_id") if "twin_id" not in mapped else None
        return Sample(
            row=row.number,
            sample_id=sample_id,
            image_id=self._image_id(row, image, sample_id),
            image=image,
            caption_en=english,
            caption_ar=arabic,
            gender_en=label_caption(english, "en").gender if english else None,
            gender_ar=label_caption(arabic, "ar").gender if arabic else None,
            twin_id=str(twin) if twin is not None else None,
            attributes={name: row.values.get(name) for name in self.there if name not in mapped | {"twin_id"}},
        )

    def _caption(self, row: Row, name: str | None) -> str | None:
        if name is None:
            return None
        value = row.values.get(name)
        if value is None or (isinstance(value, str) and not normalise(value).strip()):
            raise _Fault(name, "empty caption")
        if not isinstance(value, str):
            raise _Fault(name, f"a caption is text, not {type(value).__name__}")
        caption = value.strip()
        if len(caption) > self.max_caption_chars:
            raise _Fault(name, f"{len(caption)} characters, more than max_caption_chars = {self.max_caption_chars}")
        return caption

    def _image_id(self, row: Row, image: str | None, sample_id: str) -> str:
        name = self.names.image_id
        if name is None:
            return image or sample_id
        image_id = _text(row, name, "no image id")
        earlier, first = self._images.get(image_id, (image, row.number))
        if earlier != image:
            raise _Fault(name, f"{image_id!r} is another picture in row {first}")
        return image_id


def _text(row: Row, name: str, empty: str) -> str:
    value: Any = row.values.get(name)
    text = "" if value is None else str(value).strip()
    if not text:
        raise _Fault(name, empty)
    return text
