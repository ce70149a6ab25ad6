"""The pictures of a table's drawn samples: copied once each, from their files or out of the table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.data.drops import Drop
from core.data.images import FOLDER, read_image, store_image
from core.data.sample_frame import Sample
from core.data.splits import Group
from core.data.table_parquet import stored_pictures
from core.data.table_values import shown
from core.pictures import BrokenImage
from core.progress import Progress

_MOST_SHOWN = 180
_Copied = str | BrokenImage
"""The path that a picture was copied to, or why it was not."""


@dataclass(frozen=True)
class Place:
    """Where the pictures are: the table, its column of them, and the row of each that stands in the table itself."""

    table: Path
    column: str
    stored: Mapping[str, int]


@dataclass
class PictureCopier:
    """Copies the pictures of drawn samples and drops the samples whose picture is broken.

    Pictures in the table are fetched together, in the table's order, for only so its parts need not be read again and
    again. A draw that meets new ones takes them for whole and is repeated once they are fetched.
    """

    place: Place
    out: Path
    samples: Sequence[Sample]
    progress: Progress
    wanted: int
    copied: dict[int, Sample] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)
    looked_at: int = 0
    _known: dict[str, _Copied] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Forget the last draw, but not the pictures."""
        self.copied, self.drops, self.looked_at = {}, [], 0

    def admit(self, group: Group) -> list[int]:
        """The members whose picture is whole, as far as is known."""
        return [number for number in group.members if self._copy(number)]

    def fetch(self) -> bool:
        """Copy the pictures that the draw met for the first time out of the table; whether there were any."""
        if not self._waiting:
            return False
        rows = {self.place.stored[name]: name for name in self._waiting}
        self._waiting = set()
        for done, (row, content) in enumerate(stored_pictures(self.place.table, self.place.column, rows), start=1):
            self._known[rows[row]] = self._store(content)
            self.progress(done, len(rows))
        for name in rows.values():
            self._known.setdefault(name, BrokenImage("it was there, and is no more"))
        return True

    def keep_only(self, numbers: Iterable[int]) -> None:
        """Remove the pictures of samples that were not drawn in the end."""
        kept = {self.copied[number].image for number in numbers}
        for path in sorted((self.out / FOLDER).glob("*")):
            if f"{FOLDER}/{path.name}" not in kept:
                path.unlink()

    def _copy(self, number: int) -> bool:
        sample = self.samples[number]
        self.looked_at += 1
        if sample.image is None:
            self.copied[number] = sample
            return True
        place = self._placed(sample.image)
        if isinstance(place, BrokenImage):
            name = sample.image_id if sample.image in self.place.stored else sample.image
            reason = f"{shown(name)}: {shown(place, _MOST_SHOWN)}"
            self.drops.append(Drop(sample.row, shown(sample.sample_id), self.place.column, reason))
            return False
        self.copied[number] = replace(sample, image=place)
        if not self._waiting:
            self.progress(min(len(self.copied), self.wanted), max(self.wanted, 1))
        return True

    def _placed(self, image: str) -> _Copied:
        if image not in self._known:
            if image in self.place.stored:
                self._waiting.add(image)
                return image
            self._known[image] = self._read(image)
        return self._known[image]

    def _read(self, image: str) -> _Copied:
        try:
            return self._store(read_image(self.place.table.parent / image))
        except BrokenImage as error:
            return BrokenImage(f"{error}; write paths with /, not \\" if "\\" in image else str(error))

    def _store(self, content: bytes) -> _Copied:
        try:
            return store_image(content, self.out)
        except BrokenImage as error:
            return BrokenImage(str(error))  # the error itself would keep the content in memory by its traceback
