"""What pages computed last of a layer, kept by its version."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from explorer.reading.kept import Kept
from explorer.reading.library import ShownLayer

P = ParamSpec("P")
Made = TypeVar("Made")
OfLayer = Callable[Concatenate[ShownLayer, P], Made]


def kept(most: int) -> Callable[[OfLayer[P, Made]], OfLayer[P, Made]]:
    """Keep the last `most` results of a function of a layer and of arguments given by place, by the layer's version:
    the layer itself may be closed meanwhile."""

    def decorate(compute: OfLayer[P, Made]) -> OfLayer[P, Made]:
        results: Kept[Made] = Kept(most)

        def known(shown: ShownLayer, /, *args: P.args, **kwargs: P.kwargs) -> Made:
            key = (str(shown.study.workspace.root), shown.study.key, shown.version, *args)
            return results.get(key, lambda: compute(shown, *args, **kwargs))

        return known

    return decorate
