"""`saeflow serve` prints why a run failed, once."""

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Crashed, Failed

from cli.flow_runs import Failures


@flow(name="full-analysis")
def study() -> None: ...


def test_each_failure_is_told_once_with_its_reason_and_stages_are_not(own_prefect_server: str) -> None:
    why = "Flow run encountered an exception: BadInput: study 'mnii': no such file"
    with get_client(sync_client=True) as client:
        client.create_flow_run(study, name="before", state=Failed(message="long ago"))
        failures = Failures(own_prefect_server)
        assert failures.new() == []
        failed = client.create_flow_run(study, name="full-analysis mnii", state=Failed(message=why))
        crashed = client.create_flow_run(study, name="full-analysis mini", state=Crashed(message="killed"))
        for key, end in ((failed.id, Failed(message=why)), (crashed.id, Crashed(message="killed"))):
            client.set_flow_run_state(key, end, force=True)
        assert sorted(failures.new()) == [
            "full-analysis mini crashed: killed",
            "full-analysis mnii failed: study 'mnii': no such file",
        ]
        assert failures.new() == []
    assert Failures("http://127.0.0.1:1/api").new() == []
