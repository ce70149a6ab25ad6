"""A live table of a run: stage, units done of all, rate, time left of the stage and of the whole run; read from
manifests and heartbeat files.

Where there is no terminal, a line each time a stage is done or half a minute has brought it on.
"""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from rich.live import Live
from rich.table import Table

from cli.followed import Followed
from cli.remaining import Stage, in_words, past_seconds, remaining_s
from cli.terminal import console
from core.errors import BadInput
from core.planning.staged import Stages
from core.store.artifacts import Artifact
from core.store.steps import ANALYSE, stage_of
from core.store.units import Unit
from flows.runtime.settings import Settings
from tasks.lease import lease_path, read_lease

_EVERY_S = 1.0
_LINE_EVERY_S = 30.0


class LiveTable:
    """Follows a run from outside the flow, so that it shows work in threads, processes and jobs alike."""

    def __init__(self, followed: Followed, settings: Settings) -> None:
        self._followed, self._settings = followed, settings
        self._past = past_seconds(settings.workspace.root / "accounting")
        self._worked: dict[str, tuple[float, int]] = {}
        self._message = ""
        self._done: set[Artifact] = set()
        self._first: dict[str, tuple[float, int]] = {}
        self._told: dict[str, tuple[float, int]] = {}
        self._ended = threading.Event()
        self._live = Live(console=console, refresh_per_second=2, transient=False)
        self._thread = threading.Thread(target=self._follow, name="live-table", daemon=True)

    def say(self, message: str) -> None:
        """Show one line beneath the table."""
        self._message = message
        if not console.is_terminal and message:
            console.print(message)

    def __enter__(self) -> "LiveTable":
        if console.is_terminal:
            self._live.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if console.is_terminal:
            self._live.update(self._table())
            self._live.__exit__(kind, error, trace)
        else:
            self._tell()

    def _follow(self) -> None:
        while not self._ended.wait(_EVERY_S):
            if not self._followed.whole:
                with suppress(BadInput, OSError):  # the flow tells of it; a table only shows
                    self._followed.look_again()
            if console.is_terminal:
                self._live.update(self._table())
            else:
                self._tell()

    def _tell(self) -> None:
        for stage, units in self._looked_at().items():
            row = self._row(stage, units)
            done, now = sum(unit.artifact in self._done for unit in units), time.monotonic()
            told, before = self._told.get(stage, (0.0, 0))
            if done > before and (done == len(units) or now - told > _LINE_EVERY_S):
                self._told[stage] = (now, done)
                whole = self._whole_left()
                console.print(_line(row, whole), highlight=False)

    def _table(self) -> Table:
        table = Table(title=self._message or None, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in ("stage", "done", "rate", "left", "now"):
            table.add_column(column, justify="right" if column in ("done", "rate", "left") else "left")
        for stage, units in self._looked_at().items():
            table.add_row(*self._row(stage, units))
        if whole := self._whole_left():
            table.add_row("  [dim]whole run[/dim]", "", "", whole, "")
        return table

    def _whole_left(self) -> str:
        """About how long the whole run still takes; nothing before its units are known, or once they are made."""
        stages = self._followed.stages()
        if not self._followed.whole or all(unit.artifact in self._done for units in stages.values() for unit in units):
            return ""
        seconds = remaining_s([self._measured(stage, units) for stage, units in stages.items()], self._past)
        return f"about {in_words(seconds)} left"

    def _measured(self, stage: str, units: tuple[Unit, ...]) -> Stage:
        left = [unit for unit in units if unit.artifact not in self._done]
        under_way = sum(lease.done / lease.total for _, lease in self._running(units) if lease.total)
        seconds, made = self._worked.get(stage, (0.0, 0))
        return Stage(stage, made, max(len(left) - under_way, 0.0), seconds)

    def _looked_at(self) -> Stages:
        """The stages, once their units were looked at."""
        stages, store = self._followed.stages(), self._settings.workspace.store
        asked = {unit.artifact for units in stages.values() for unit in units} - self._done
        self._done |= {artifact for artifact in asked if store.intact(artifact)}
        return stages

    def _row(self, stage: str, units: tuple[Unit, ...]) -> tuple[str, ...]:
        done = sum(unit.artifact in self._done for unit in units)
        started, before = self._first.setdefault(stage, (time.monotonic(), done))
        if done == before:
            self._first[stage] = (time.monotonic(), done) if not self._running(units) else (started, before)
        elapsed = time.monotonic() - started
        if done > self._worked.get(stage, (0.0, 0))[1] + before:
            self._worked[stage] = (elapsed, done - before)
        rate = (done - before) / max(elapsed, 1e-9)
        left = (len(units) - done) / rate if rate else 0.0
        mark = "[green]✓[/green]" if done == len(units) else " "
        speed = f"{rate * 60:.0f}/min" if rate and done < len(units) else ""
        return (f"{mark} {stage}", f"{done}/{len(units)}", speed, f"{left:.0f} s" if left else "", self._now(units))

    def _running(self, units: tuple[Unit, ...]) -> list[tuple[Unit, Any]]:
        store = self._settings.workspace.store
        leases = (
            (unit, read_lease(lease_path(store, unit.artifact))) for unit in units if unit.artifact not in self._done
        )
        return [(unit, lease) for unit, lease in leases if lease is not None]

    def _now(self, units: tuple[Unit, ...]) -> str:
        return "  ".join(
            f"{_called(unit)} {100 * lease.done // lease.total if lease.total else 0}%"
            for unit, lease in self._running(units)[:4]
        )


def _called(unit: Unit) -> str:
    """A unit within its stage: by its name, and an analysis by its own, with the concept's where there are several."""
    return unit.label if stage_of(unit.step) == ANALYSE else unit.name or unit.step


def _line(row: tuple[str, ...], whole: str) -> str:
    """`train_sae 3/34 units · 12/min · 150 s left · now: 17 40% · whole run: about 8 min left`."""
    stage, done, rate, left, now = row
    parts = (
        f"{stage} {done} units",
        rate,
        left and f"{left} left",
        now and f"now: {now}",
        whole and f"whole run: {whole}",
    )
    return " · ".join(part for part in parts if part)
