"""What MLflow's run of a study says of it: the findings in words and numbers, and the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from core.errors import BadInput
from core.planning.graph import Plan
from core.planning.one_layer import LayerPlan
from core.reading.records import opened
from core.reading.study import OpenedStudy
from core.stats.estimate import Estimate, measured
from core.store.ledger import JobCost, hours_by_stage, ledger_path, read
from core.store.workspace import Workspace

LONGEST = 5000
"""Characters of a tag's value that every MLflow server takes."""
_MOST_SENTENCES = 12

Found = Mapping[str, Sequence[Estimate]]


@dataclass(frozen=True)
class Summary:
    """What is written into the run; `page` is null while there is no report."""

    description: str
    metrics: Mapping[str, float]
    page: Path | None


def summarise(workspace: Workspace, plan: Plan | LayerPlan, prefect: str = "") -> Summary:
    """Read what the study, or its layer, has left; `prefect` is the address of its run there, if that can be opened."""
    study = opened(workspace, {"key": plan.key, **plan.record()})
    try:
        found: Found = study.found()
        page = study.report if study.finished else None
    except BadInput:  # damaged in the meantime: `saeflow verify` tells of it
        found, page = {}, None
    folder = plan.folder if isinstance(plan, LayerPlan) else plan.study.folder
    report = workspace.report(folder) / "report.html" if page else None
    return Summary(describe(study, found, report, prefect), headline_metrics(found), page)


def headline_metrics(found: Found) -> dict[str, float]:
    """The estimates of all analyses as flat numbers: `ablation/shift.en`, and its `.low`, `.high`, `.p` and `.q`."""
    return {
        f"{analysis}/{name}": value
        for analysis, estimates in found.items()
        for name, value in measured(estimates).items()
    }


def describe(study: OpenedStudy, found: Found, report: Path | None, prefect: str) -> str:
    """Markdown: what is asked, what was found in the report's own sentences, and where the report is."""
    head = [str(study.config.get("description") or study.title)]
    tail = [*([f"Report: `{report}`, and among this run's artifacts."] if report else [])]
    tail += [f"[Prefect]({prefect})"] if prefect else []
    room = LONGEST - sum(len(part) + 2 for part in (*head, *tail)) - len(_MORE)
    return "\n\n".join([*head, *_sentences(found, room), *tail])[:LONGEST]


_MORE = "**What was found**\n\nThe report has the rest."


def _sentences(found: Found, room: int) -> Iterator[str]:
    """The headline estimates' sentences as one list, as many as there is room for."""
    from core.report.sentences import headline  # it loads what draws figures

    answers = [one for one in chain(*found.values()) if one.answers]
    lines: list[str] = []
    for line in (f"- {headline(one)}" for one in answers[:_MOST_SENTENCES]):
        if sum(len(before) + 1 for before in lines) + len(line) > room:
            break
        lines.append(line)
    if lines:
        yield "**What was found**\n\n" + "\n".join(lines)
    if len(lines) < len(answers):
        yield "The report has the rest."


def hours_asked(workspace: Path, study: str, flow_run: str | None) -> dict[str, float]:
    """What the jobs of a run held, by stage; nothing where there were none, and no GPU-hours where no job had a GPU."""
    mine = [cost for cost in read(ledger_path(workspace, study), JobCost) if cost.flow_run == flow_run]
    asked: dict[str, float] = {}
    for stage, (_, cpu, gpu) in hours_by_stage(mine).items():
        asked |= {f"cpu_hours_asked.{stage}": cpu, **({f"gpu_hours_asked.{stage}": gpu} if gpu else {})}
    return asked
