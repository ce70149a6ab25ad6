import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import BadInput
from flows.runtime.place import Place
from flows.runtime.profiles import SlurmProfile, load_profile, pool_of
from flows.runtime.settings import PROJECT
from flows.slurm.doors import is_private, refuse_open_doors
from flows.slurm.job import JobOrder, example_script, retire_before_s

CLUSTERS = PROJECT / "deployments" / "clusters"
POOLS = {"cpu": {"partition": "shared"}, "gpu": {"partition": "gpu", "gres": "gpu:1"}}


def written(folder: Path, **fields: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"kind": "slurm", **POOLS, **fields}), encoding="utf-8")
    return path


def slurm(folder: Path, **fields: Any) -> SlurmProfile:
    profile = load_profile(written(folder, **fields))
    assert isinstance(profile, SlurmProfile)
    return profile


@pytest.mark.parametrize("name", ["threads", "local", "slurm-one-node"])
def test_profiles_that_ship_are_valid(name: str) -> None:
    assert load_profile(CLUSTERS / f"{name}.yaml").kind in ("threads", "local", "slurm")


def test_the_example_names_the_first_place_to_fill_in() -> None:
    with pytest.raises(BadInput, match=r"durham-ncc.yaml: interface: .* is a place to fill in"):
        load_profile(CLUSTERS / "durham-ncc.yaml")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gpu": {"partition": "gpu", "memroy": "4GB"}}, r"gpu.memroy: Extra inputs"),
        ({"gpu": {"partition": "gpu", "walltime": 7200}}, r"gpu.walltime: .*given: 7200"),
        ({"gpu": {"partition": "gpu", "walltime": "2h"}}, r"gpu.walltime: '2h' is no walltime"),
        ({"gpu": {"partition": "gpu", "memory": "much"}}, r"gpu.memory: 'much' is no amount of memory"),
        ({"gpu": {"gres": "gpu:1"}}, r"gpu.partition: Field required"),
        ({"gpu": {"partition": "gpu", "threads": 8}}, r"threads is 8, more than cores \(1\)"),
        ({"gpu": {"partition": "gpu", "more_memory": ["64GB", "32GB"]}}, r"each amount must be larger than the last"),
        ({"steps": {"train": {"memory": "4GB"}}}, r"'train' is no step"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        load_profile(written(tmp_path, **fields))


def test_a_step_may_ask_for_more(tmp_path: Path) -> None:
    profile = slurm(tmp_path, steps={"train_sae": {"memory": "64GB"}})
    assert profile.pool("train_sae").memory == "64GB"
    assert profile.pool("capture").memory == "8GB"
    assert pool_of(profile, "extract_layer") == profile.cpu


def test_more_memory_is_more_than_the_step_has_already(tmp_path: Path) -> None:
    gpu = {"partition": "gpu", "memory": "32GB", "more_memory": ["64GB", "128GB"]}
    profile = slurm(tmp_path, gpu=gpu, steps={"train_sae": {"memory": "64GB"}})
    more = profile.pool("train_sae").with_more_memory()
    assert more is not None
    assert (more.memory, more.with_more_memory()) == ("128GB", None)


def test_only_loopback_is_private(tmp_path: Path) -> None:
    assert is_private(slurm(tmp_path, host="127.0.0.1"))
    assert is_private(slurm(tmp_path, interface="lo"))
    assert not is_private(slurm(tmp_path, host="login1", interface="lo"))
    assert not is_private(slurm(tmp_path))


def test_the_job_script_asks_for_what_the_profile_says(tmp_path: Path) -> None:
    gpu = {
        "partition": "gpu",
        "account": "nlp",
        "qos": "long",
        "gres": "gpu:a100:1",
        "memory": "64GB",
        "cores": 4,
        "walltime": "1-00:00:00",
        "constraint": "hbm",
        "reservation": "course",
        "exclude": "n7",
        "directives": ["--mail-type=NONE"],
    }
    profile = slurm(tmp_path, gpu=gpu, host="127.0.0.1", worker_ports="40000:40100", setup=["module load cuda"])
    script = example_script(JobOrder(Place("demo", "train_sae", tmp_path), profile, profile.gpu))
    for line in (
        "-J saeflow-demo-train_sae",
        "-p gpu",
        "-A nlp",
        "--qos=long",
        "--gres=gpu:a100:1",
        "--cpus-per-task=4",
        "--mem=60G",
        "-t 1-00:00:00",
        "--constraint=hbm",
        "--reservation=course",
        "--exclude=n7",
        "--mail-type=NONE",
        "--no-requeue",
    ):
        assert f"#SBATCH {line}" in script
    assert "module load cuda" in script
    assert "--name $SLURM_JOB_ID" in script
    assert "--worker-port 40000:40100" in script
    assert script.index("module load cuda") < script.index("no_proxy") < script.index("flows.slurm.worker")


def test_workers_retire_before_their_walltime() -> None:
    assert retire_before_s(60) == 30
    assert retire_before_s(600) == 60
    assert retire_before_s(36_000) == 1800


class _AnswersAnybody(BaseHTTPRequestHandler):
    """In place of a Prefect server without a password: `saeflow`'s own refuses other machines' requests."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def test_beyond_loopback_an_open_door_is_refused(tmp_path: Path) -> None:
    refuse_open_doors(slurm(tmp_path, host="127.0.0.1"), "", "sqlite:///x.db")
    reachable = slurm(tmp_path, host="login1")
    with pytest.raises(BadInput, match=r"PREFECT_API_URL is .* which nodes of the cluster cannot reach"):
        refuse_open_doors(reachable, "http://127.0.0.1:4200/api", "http://login1:5000")
    with ThreadingHTTPServer(("127.0.0.1", 0), _AnswersAnybody) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        open_to_all = f"http://0.0.0.0:{server.server_port}/api"  # this machine, by a name that is not loopback's
        with pytest.raises(BadInput, match=r"Prefect at .* answers anybody"):
            refuse_open_doors(reachable, open_to_all, "http://login1:5000")
        server.shutdown()
