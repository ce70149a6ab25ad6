"""The logit lens: what the model would say if a layer's residual stream were its last one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import BadInput
from core.lm.agreement import logits_of
from core.lm.loaded import LoadedModel
from core.lm.outcomes import LOGIT_BYTES


@dataclass(frozen=True)
class LensReading:
    """What the lens reads in n rows of a layer.

    `top_ids` and `top_log_p` are the k likeliest tokens, the first the likeliest; `entropy` is of the whole
    distribution, in nats; `kl` is KL(final ‖ lens), in nats, null where no final rows were given; `ranks` are those of
    the tokens that were asked for, 1 the likeliest.
    """

    top_ids: Int[Tensor, "n k"]
    top_log_p: Float[Tensor, "n k"]
    entropy: Float[Tensor, " n"]
    kl: Float[Tensor, " n"] | None
    ranks: Int[Tensor, "n w"]


@dataclass(frozen=True)
class Together:
    """The readings of the same rows, one of each of some streams.

    `divergences` are KL(lens of the first stream ‖ lens of this one), in nats, by row; `final_ids` the likeliest token
    of the final rows, null where none were given.
    """

    readings: tuple[LensReading, ...]
    divergences: tuple[Float[Tensor, " n"], ...]
    final_ids: Int[Tensor, " n"] | None


def lens_logits(loaded: LoadedModel, stream: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
    """Logits of rows of the residual stream: final norm, vocabulary head, and what the model scales and soft-caps
    (nostalgebraist 2020, "interpreting GPT: the logit lens").

    Raises:
        BadInput: the rows have another width than the stream, or the model makes its logits in another way.
    """
    if stream.shape[-1] != loaded.shape.d_model:
        raise BadInput(f"logit lens: rows of {stream.shape[-1]} numbers; the stream has {loaded.shape.d_model}")
    with torch.no_grad():
        return logits_of(loaded, loaded.final_norm(stream.to(loaded.device, loaded.dtype)))


@torch.no_grad()
def read_lens(
    loaded: LoadedModel,
    stream: Float[Tensor, "n D"],
    final: Float[Tensor, "n D"] | None = None,
    *,
    k: int = 10,
    tokens: Sequence[int] = (),
) -> LensReading:
    """What the lens reads in rows of a layer's stream; through an SAE, give its reconstruction of them.

    Args:
        loaded: the model.
        stream: rows of one layer, as they leave its block.
        final: the same rows as they leave the last block: what `kl` is measured against.
        k: likeliest tokens that are kept.
        tokens: token ids whose ranks are read.

    Raises:
        BadInput: `final` has other rows, a token is none of the model's, or the rows do not fit the model.
    """
    return read_together(loaded, [stream], final, k=k, tokens=tokens).readings[0]


@torch.no_grad()
def read_together(
    loaded: LoadedModel,
    streams: Sequence[Float[Tensor, "n D"]],
    final: Float[Tensor, "n D"] | None = None,
    *,
    k: int = 10,
    tokens: Sequence[int] = (),
) -> Together:
    """What the lens reads in the same n rows as several things hold them: a layer's stream, then what dictionaries
    rebuild of it. Each, and `final`, goes through the vocabulary head once.

    Raises:
        BadInput: as `read_lens`.
    """
    stream = streams[0]
    if final is not None and final.shape != stream.shape:
        raise BadInput(f"logit lens: final rows {list(final.shape)} beside rows {list(stream.shape)}")
    size = loaded.unembedding.shape[0]
    if wrong := [token for token in tokens if not 0 <= token < size]:
        raise BadInput(f"logit lens: token {wrong[0]} is none of the model's {size:,}")
    asked = torch.tensor(list(tokens), dtype=torch.long, device=loaded.device)
    found: list[list[tuple[Tensor | None, ...]]] = [[] for _ in streams]
    apart: list[list[Tensor]] = [[] for _ in streams]
    best = []
    for rows in _portions(len(streams[0]), size):
        reference = None if final is None else _log_p(loaded, final[rows])
        first = None
        for parts, gaps, stream in zip(found, apart, streams, strict=True):
            log_p = _log_p(loaded, stream[rows])
            parts.append(_read(log_p, reference, k, asked))
            gaps.append(log_p.new_zeros(len(log_p)) if first is None else _kl(log_p, first))
            first = log_p if first is None else first
        best.append(None if reference is None else reference.argmax(dim=-1))
    readings = tuple(LensReading(*map(_joined, zip(*parts))) for parts in found)  # type: ignore[arg-type]
    return Together(readings, tuple(torch.cat(gaps) for gaps in apart), _joined(best))


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None


def read_streams(
    loaded: LoadedModel,
    streams: Mapping[int, Float[Tensor, "n D"]],
    final: Float[Tensor, "n D"],
    *,
    k: int = 10,
    tokens: Sequence[int] = (),
) -> dict[int, LensReading]:
    """What the lens reads in the same n rows after several layers, against `final`; the vocabulary head, which is most
    of the work where rows are few, is gone through once for all of them.

    Raises:
        BadInput: as `read_lens`.
    """
    if not streams:
        return {}
    count, layers = len(final), len(streams)
    found = read_lens(loaded, torch.cat([*streams.values()]), final.repeat(layers, 1), k=k, tokens=tokens)
    own = [slice(number * count, (number + 1) * count) for number in range(layers)]
    fields = (found.top_ids, found.top_log_p, found.entropy, found.kl, found.ranks)
    parts = [LensReading(*(None if one is None else one[rows] for one in fields)) for rows in own]  # type: ignore[arg-type]
    return dict(zip(streams, parts, strict=True))


def _portions(rows: int, vocabulary: int) -> Iterator[slice]:
    """Parts of the rows whose logits fit into memory; one empty part where there are no rows."""
    size = max(1, LOGIT_BYTES // (4 * vocabulary))
    for start in range(0, max(rows, 1), size):
        yield slice(start, start + size)


def _log_p(loaded: LoadedModel, stream: Tensor) -> Tensor:
    return lens_logits(loaded, stream).float().log_softmax(dim=-1)


def _kl(log_p: Tensor, reference: Tensor) -> Tensor:
    """KL(reference ‖ distribution), by row."""
    return torch.nn.functional.kl_div(log_p, reference, reduction="none", log_target=True).sum(dim=-1)


def _read(
    log_p: Tensor, reference: Tensor | None, k: int, asked: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]:
    top = log_p.topk(min(k, log_p.shape[-1]), dim=-1)
    entropy = -(log_p.exp() * log_p.nan_to_num(neginf=0.0)).sum(dim=-1)
    above = [
        (log_p > log_p[:, token, None]).sum(dim=-1) for token in asked
    ]  # all at once would take w times the memory
    ranks = torch.stack(above, dim=1) + 1 if above else asked.expand(len(log_p), 0)
    kl = None if reference is None else _kl(log_p, reference)
    return top.indices, top.values, entropy, kl, ranks
