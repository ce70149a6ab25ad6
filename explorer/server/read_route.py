"""Routes that only read: the parameters of an address are read and checked together.

FastAPI reads them one by one, dependency by dependency, and that takes longer than most of the answers here do.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from fastapi import Request, Response
from fastapi.params import Depends, Param
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError, create_model
from starlette.concurrency import run_in_threadpool


class ReadRoute(APIRoute):
    """A route whose parameters stand in path and query; where one of them is wrong, FastAPI reads them and says so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        usual, called = super().get_route_handler(), _Called.of(self.endpoint)
        parameters = _Parameters.of(called)

        async def handle(request: Request) -> Response:
            try:
                values = parameters.read(request)
            except ValidationError:
                return await usual(request)
            arguments = await called.arguments(request, values)
            return await run_in_threadpool(self.endpoint, **arguments)

        return handle


@dataclass(frozen=True)
class _Called:
    """An endpoint or a dependency: which of its arguments are the request, parameters, and results of others.

    Dependencies are coroutines that wait for nothing.
    """

    call: Callable[..., Any]
    requests: tuple[str, ...]
    parameters: Mapping[str, tuple[str, Any, Any]]
    results: Mapping[str, "_Called"]

    @classmethod
    def of(cls, call: Callable[..., Any]) -> "_Called":
        requests, parameters, results = [], {}, {}
        for name, one in inspect.signature(call).parameters.items():
            about = get_args(one.annotation)[1:] if get_origin(one.annotation) is Annotated else ()
            depends = next((part for part in about if isinstance(part, Depends)), None)
            parameter = next((part for part in about if isinstance(part, Param)), None)
            if one.annotation is Request:
                requests.append(name)
            elif depends is not None and depends.dependency is not None:
                results[name] = cls.of(depends.dependency)
            elif parameter is not None:
                default = ... if one.default is inspect.Parameter.empty else one.default
                parameters[name] = (parameter.alias or name, one.annotation, default)
            else:
                raise TypeError(f"{call}: {name} is neither the request, a parameter nor a dependency")
        return cls(call, tuple(requests), parameters, results)

    async def arguments(self, request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
        """What it is called with, where the parameters have these values."""
        known: dict[str, Any] = dict.fromkeys(self.requests, request)
        known |= {name: values[key] for name, (key, _, _) in self.parameters.items()}
        for name, one in self.results.items():
            result: Awaitable[Any] = one.call(**await one.arguments(request, values))
            known[name] = await result
        return known

    def every(self) -> Iterator[tuple[str, Any, Any]]:
        """Key, type and default of all parameters, those of dependencies included."""
        yield from self.parameters.values()
        for one in self.results.values():
            yield from one.every()


@dataclass(frozen=True)
class _Parameters:
    """The parameters of a route as one model; `repeated` are those that may stand in a query more than once."""

    model: type[BaseModel]
    repeated: frozenset[str]

    @classmethod
    def of(cls, called: _Called) -> "_Parameters":
        fields: dict[str, Any] = {key: (kind, default) for key, kind, default in called.every()}
        repeated = frozenset(key for key, (kind, _) in fields.items() if _is_list(get_args(kind)[0]))
        return cls(create_model("Parameters", **fields), repeated)

    def read(self, request: Request) -> dict[str, Any]:
        """The values of all parameters, as FastAPI reads them: of one that stands there twice the last.

        Raises:
            ValidationError: one is missing or wrong.
        """
        query = request.query_params
        given = {key: query.getlist(key) if key in self.repeated else query[key] for key in query}
        return self.model.model_validate(given | request.path_params).__dict__


def _is_list(kind: Any) -> bool:
    parts = get_args(kind) if get_origin(kind) in (Union, type(int | None)) else (kind,)
    return any(get_origin(part) is list for part in parts)
