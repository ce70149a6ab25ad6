"""What is computed of a layer, kept by the layer's version: the layer itself may be closed meanwhile."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Concatenate, ParamSpec, TypeVar

from explorer.reading.library import ShownLayer

P = ParamSpec("P")
Made = TypeVar("Made")
OfLayer = Callable[Concatenate[ShownLayer, P], Made]


def kept(most: int) -> Callable[[OfLayer[P, Made]], OfLayer[P, Made]]:
    """Keep the last `most` results of a function of a layer and of arguments given by place."""

    def decorate(compute: OfLayer[P, Made]) -> OfLayer[P, Made]:
        results: OrderedDict[tuple[object, ...], Made] = OrderedDict()
        lock = Lock()

        def known(shown: ShownLayer, /, *args: P.args, **kwargs: P.kwargs) -> Made:
            key = (str(shown.study.workspace.root), shown.study.key, shown.version, *args)
            with lock:
                if key in results:
                    results.move_to_end(key)
                    return results[key]
            made = compute(shown, *args, **kwargs)
            with lock:
                results[key] = made
                while len(results) > most:
                    results.popitem(last=False)
            return made

        return known

    return decorate
