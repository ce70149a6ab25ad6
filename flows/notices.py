"""Word at milestones, by e-mail or chat: Prefect automations over one notification block."""

from pathlib import Path
from typing import Any

import yaml
from prefect.automations import Automation
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from pydantic import SecretStr

from core.errors import BadInput
from flows.runtime.settings import PROJECT

BLOCK = "saeflow-notices"
PREFIX = "saeflow: "


def milestones(path: Path = PROJECT / "deployments" / "notices.yaml") -> list[dict[str, Any]]:
    """What word is sent of: name, flows, event, subject, body."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def switch_on(address: str) -> list[str]:
    """Send word to an Apprise address from now on, in place of an earlier one; the milestones' names.

    Raises:
        BadInput: Apprise knows no such kind of address.
    """
    import apprise

    if apprise.Apprise.instantiate(address) is None:
        raise BadInput(
            f"{address.partition(':')[0]}: no address that Apprise knows; e-mail is mailtos://USER:PASSWORD@HOST?to=YOU@HOST"
        )
    switch_off()
    # The server can load Prefect's own blocks only; of those this one hands any Apprise address on as it is.
    block = SlackWebhook(url=SecretStr(address), allow_private_urls=True)
    block_id = block.save(BLOCK, overwrite=True)
    made: list[Any] = [_automation(milestone, block_id).create() for milestone in milestones()]
    return [automation.name for automation in made]


def switch_off() -> int:
    """Take every automation of ours away; how many there were."""
    with get_client(sync_client=True) as client:
        ours = [item for item in client.read_automations() if item.name.startswith(PREFIX)]
        for item in ours:
            client.delete_automation(item.id)
    return len(ours)


def _automation(milestone: dict[str, Any], block_id: Any) -> Automation:
    of_flows = {"prefect.resource.role": "flow", "prefect.resource.name": milestone["flows"]}
    trigger = EventTrigger(
        expect={milestone["event"]},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=of_flows,
        posture=Posture.Reactive,
        threshold=1,
    )
    action = SendNotification(block_document_id=block_id, subject=milestone["subject"], body=milestone["body"])
    return Automation(
        name=f"{PREFIX}{milestone['name']}", description="Made by `saeflow notify`.", trigger=trigger, actions=[action]
    )
