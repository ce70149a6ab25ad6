"""Take the documentation's pictures from a served workspace: `saeflow serve`, then `python -m infra.pictures`."""

import argparse
import json
import re
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from playwright.sync_api import Page, sync_playwright

from core.store.workspace import Workspace
from flows.runtime.settings import PROJECT, Settings, read_settings

_WAIT_MS = 9000  # both pages draw long after they have loaded
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def flow_runs(api: str, name: str) -> list[dict[str, Any]]:
    """Completed runs of one flow, the latest first."""
    completed = {"state": {"type": {"any_": ["COMPLETED"]}}}
    wanted = {"sort": "START_TIME_DESC", "flows": {"name": {"any_": [name]}}, "flow_runs": completed}
    query = json.dumps(wanted).encode()
    asked = urllib.request.Request(f"{api}/flow_runs/filter", query, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as response:
        found: list[dict[str, Any]] = json.load(response)
        return found


def compare_address(settings: Settings, mlflow: str, study: str) -> str:
    """MLflow's compare page over the SAE runs of a study."""
    client = MlflowClient(settings.tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"tags.`saeflow.step` = 'train_sae' and tags.`saeflow.study` = '{study}'"
    runs = client.search_runs(experiments, query, max_results=40)
    ids = json.dumps([run.info.run_id for run in runs])
    owners = json.dumps(sorted({run.info.experiment_id for run in runs}))
    return f"{mlflow}/#/compare-runs?runs={urllib.parse.quote(ids)}&experiments={urllib.parse.quote(owners)}"


def take(page: Page, address: str, path: Path, height: int = 1000) -> None:
    """One picture."""
    page.set_viewport_size({"width": 1400, "height": height})
    page.goto(address)
    page.wait_for_timeout(_WAIT_MS)
    page.screenshot(path=path)
    print(path.relative_to(PROJECT), address)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="demo")
    study = parser.parse_args().study
    settings = read_settings()
    workspace: Workspace = settings.workspace
    served = json.loads((workspace.root / "servers.json").read_text(encoding="utf-8"))
    ui, images = served["api"].removesuffix("/api"), PROJECT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    latest = flow_runs(served["api"], "full-analysis")[0]["id"]
    # The latest stage over all layers: single-layer runs leave stages of one unit.
    stage = max(flow_runs(served["api"], "train_sae"), key=lambda run: int(re.findall(r"\d+", run["name"])[0]))["id"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        page = browser.new_page()
        take(page, (workspace.report(study) / "report.html").resolve().as_uri(), images / "report.png", 1300)
        take(page, f"{ui}/runs/flow-run/{latest}", images / "prefect.png")
        take(page, f"{ui}/runs/flow-run/{stage}", images / "prefect-stage.png")
        take(page, compare_address(settings, served["mlflow"], study), images / "mlflow.png")
        browser.close()


if __name__ == "__main__":
    main()
