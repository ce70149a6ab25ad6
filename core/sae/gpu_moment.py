"""Reading something off a GPU before all that was sent to it is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class GPUMoment:
    """A place in the work sent to a GPU, and a stream on which that place alone is waited for."""

    event: torch.cuda.Event
    stream: torch.cuda.Stream

    @classmethod
    def now(cls, device: torch.device, before: "GPUMoment | None") -> "GPUMoment":
        """After all that was sent so far; the stream is that of the moment before."""
        event = torch.cuda.current_stream(device).record_event()
        return cls(event, torch.cuda.Stream(device) if before is None else before.stream)  # type: ignore[no-untyped-call]

    @contextmanager
    def reached(self) -> Iterator[None]:
        """What the body sends runs once the GPU has come here, beside what was sent after."""
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(self.event)
            yield
