"""What a registry is made from: the entries that were asked for, and what had to be left out and why."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from core.concepts.registry import Registry, SAEEntry, parse_registry
from core.errors import BadInput
from core.sae.origins import plain_name
from core.study.sites import STREAM, Site

_WIDTH = re.compile(r"^(\d+)([km]?)$", re.IGNORECASE)
_THOUSANDS = {"k": (1_000, 1 << 10), "m": (1_000_000, 1 << 20)}
_L0 = re.compile(r"(?<![a-z0-9])l0[_-](\d+(?:\.\d+)?)(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """Which autoencoders a registry is to hold: of one model and site; null is any model or width."""

    model: str | None = None
    site: Site = STREAM
    width: int | None = None

    def has_model(self, name: str) -> bool:
        """Whether `name` is the model's, owners and aliases aside."""
        return self.model is None or plain_name(name) == plain_name(self.model)

    def site_among(self, sites: Sequence[Site]) -> Site:
        """The one meant of the sites that a hook's name can mean."""
        return self.site if self.site in sites else sites[0]

    def has(self, entry: SAEEntry) -> bool:
        """Whether an entry is of the site and width that are wanted."""
        return entry.site == self.site and self.width in (None, entry.width)


@dataclass(frozen=True)
class Found:
    """The model's autoencoders that were found, how many of them have another site or width than was wanted, and how
    many were left out for which reason."""

    model: str
    entries: tuple[SAEEntry, ...]
    others: int
    left_out: Counter[str]

    @classmethod
    def of(cls, model: str, entries: Collection[SAEEntry], wanted: Wanted, left_out: Counter[str]) -> "Found":
        """The wanted ones among these entries."""
        chosen = tuple(filter(wanted.has, entries))
        return cls(model, chosen, len(entries) - len(chosen), left_out)

    def registry(self, origin: str, num_layers: int | None) -> Registry:
        """The registry of these entries, by layer, width and L0.

        Raises:
            BadInput: there are none, or two have one key or path.
        """
        if not self.entries:
            why = [f"left out ({count}): {reason}" for reason, count in self.left_out.most_common(3)]
            why = [f"{self.others} of another site or width", *why] if self.others else why
            raise BadInput(f"{origin}: no such SAE" + (f" ({'; '.join(why)})" if why else ""))
        ordered = sorted(self.entries, key=lambda one: (one.layer, one.site, one.width, one.l0 or 0.0, one.key))
        raw = {"model": self.model, "num_layers": num_layers, "entries": [one.model_dump() for one in ordered]}
        return parse_registry(raw, origin)


def spelt_width(text: str) -> int | None:
    """A number of features: `16384`, or as releases spell powers of two, `16k` and `1m`; null for anything else."""
    match = _WIDTH.match(text)
    if match is None:
        return None
    number, unit = int(match[1]), match[2].lower()
    if not unit:
        return number or None
    powers = [1 << power for power in range(10, 31)]
    return next((power for power in powers if any(power // size == number for size in _THOUSANDS[unit])), None)


def short_width(width: int) -> str:
    """The shorter spelling of a width, where it has one: `16k` for 16384."""
    spellings = [f"{width // size}{unit}" for unit in "mk" for size in _THOUSANDS[unit][:1] if width >= size]
    return next((text for text in spellings if spelt_width(text) == width), str(width))


def stated_l0(*names: str) -> float | None:
    """The L0 that a name states, as in `average_l0_105`: of the first that does."""
    found = map(_L0.search, names)
    value = next((float(match[1]) for match in found if match is not None), 0.0)
    return value or None


def one_model(names: Iterable[str], origin: str) -> str:
    """The one model that autoencoders read.

    Raises:
        BadInput: they read several; the message lists them.
    """
    models = {plain_name(name): name for name in names}
    if len(models) > 1:
        raise BadInput(f"{origin}: SAEs of several models ({', '.join(sorted(models.values()))}); name one (--model)")
    return next(iter(models.values()), "")
