"""Layers as caches tell them from others."""

from explorer.reading.library import ShownLayer


class LayerKey:
    """A layer that equals every other opening of the same study and version."""

    def __init__(self, shown: ShownLayer) -> None:
        self.shown, self._key = shown, (str(shown.study.workspace.root), shown.study.key, shown.version)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayerKey) and self._key == other._key
