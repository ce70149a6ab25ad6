"""The user's environment, cleaned: what a shell, a site or a job around saeflow exports changes no study.

Every entry calls `settle` first: the command line, the served deployments, a flow run, a SLURM job's worker. What it
takes out is remembered, so that `saeflow cluster check` can tell of it.
"""

import ipaddress
import os
import site
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from core.errors import BadInput

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
UNUSABLE = (*_PROXIES, *_CERTIFICATES, "SSLKEYLOGFILE")
"""What is taken out where no client could start with it."""
_SERVERS = ("PREFECT_API_URL", "SAEFLOW_TRACKING_URI", "SAEFLOW_MLFLOW_URL")
# Dask's settings come from the profile, the servers' from their command lines, the revision from our own checkout.
_OTHERS = ("DASK_", "UVICORN_", "GUNICORN_", "WEB_CONCURRENCY", "PYTHONWARNINGS", "GIT_DIR", "GIT_WORK_TREE")
# MLflow is told the run, experiment and store with each call; these would outrank the call.
_MLFLOW_OF_THE_SHELL = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_", "MLFLOW_TRACKING_URI")
# What belongs to a server of the user's own: its address, its passwords and certificates.
_PREFECT_CLIENT = tuple(f"PREFECT_{name}" for name in ("CLIENT_", "CLOUD_", "UI_URL"))
_PREFECT_CLIENT += tuple(f"PREFECT_API_{name}" for name in ("URL", "KEY", "AUTH_STRING", "SSL_", "TLS_"))
_MLFLOW_CLIENT = ("MLFLOW_TRACKING_", "MLFLOW_HTTP_REQUEST_", "MLFLOW_S3_", "MLFLOW_WORKSPACE")
# Options and formats of SLURM's commands (they outrank #SBATCH lines), and the job that this process may run in.
_COMMANDS = ("SBATCH_", "SLURM_", "SLURMD_", "SALLOC_", "SRUN_", "SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_", "SCONTROL_")
_OF_A_JOB = ("SAEFLOW_JOB_", "CUDA_VISIBLE_", "ROCR_VISIBLE_", "HIP_VISIBLE_", "GPU_DEVICE_")
WHICH_SLURM = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS")
# Which SLURM is meant, and who asks.
_SLURM_KEPT = (*WHICH_SLURM, "SLURM_JWT", "SLURM_SACK_KEY", "SLURM_SACK_JWKS")
_taken: dict[str, str] = {}


def settle() -> None:
    """Clean this process's environment, and so its children's; a second call changes nothing."""
    cleaned = settled(os.environ)
    _taken.update({name: value for name, value in os.environ.items() if name not in cleaned})
    set_environment(cleaned)


def settle_in_job() -> None:
    """`settle`, where DASK_* variables are those of the job's script, and so the profile's."""
    given = {name: value for name, value in os.environ.items() if name.startswith("DASK_")}
    settle()
    os.environ.update(given)


def taken() -> dict[str, str]:
    """What `settle` has taken out of this process's environment."""
    return dict(_taken)


def set_environment(environment: Mapping[str, str]) -> None:
    """Make `environment` this process's."""
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    os.environ.update(environment)


def settled(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what would change a study; loopback and this machine are asked past its proxies."""
    foreign = (*_OTHERS, *_MLFLOW_OF_THE_SHELL)
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(foreign) and not _unusable(name, value)
    }
    direct = ",".join(_direct(kept))
    return kept | {"NO_PROXY": direct, "no_proxy": direct}


def for_servers(environment: Mapping[str, str], own_prefect: bool) -> dict[str, str]:
    """An environment for servers and flows: Prefect's and MLflow's settings of the user stay out.

    What belongs to a server of the user's own stays: to the Prefect server that PREFECT_API_URL names unless
    `own_prefect`, and to the MLflow server that SAEFLOW_TRACKING_URI names.
    """
    own_mlflow = not environment.get("SAEFLOW_TRACKING_URI", "").startswith("http")
    kept = (*(() if own_prefect else _PREFECT_CLIENT), *(() if own_mlflow else _MLFLOW_CLIENT))
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("PREFECT_", "MLFLOW_")) or name.startswith(kept)
    }


def for_slurm(environment: Mapping[str, str], command: str) -> dict[str, str]:
    """An environment for one of SLURM's commands: no options, formats or languages of the user's; sbatch hands what is
    left on to the job."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith((*_COMMANDS, *_OF_A_JOB)) or (name in _SLURM_KEPT and value)
    }
    return kept if command == "sbatch" else kept | {"LC_ALL": "C"}


def outranks_the_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """What `for_slurm` leaves out of an environment."""
    return {name: value for name, value in environment.items() if name not in for_slurm(environment, "sbatch")}


def direct_hosts(environment: Mapping[str, str] | None = None) -> list[str]:
    """Hosts that are never asked through a proxy: loopback, and this machine where a server of ours is named by it."""
    given = os.environ if environment is None else environment
    servers = [_host(given.get(name, "")) for name in _SERVERS]
    return list(dict.fromkeys((*LOOPBACK, *(host for host in servers if _is_this_machine(host)))))


def past_proxies_lines() -> list[str]:
    """Lines of a job script: whatever its node and the profile's setup export, `direct_hosts` go past the proxies."""
    return [
        'no_proxy="${no_proxy:-${NO_PROXY:-}}"',
        f'export no_proxy="${{no_proxy:+$no_proxy,}}{",".join(direct_hosts())}"',
        'export NO_PROXY="$no_proxy"',
    ]


def _host(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).hostname or ""
    return ""


def _direct(environment: Mapping[str, str]) -> list[str]:
    given = f"{environment.get('no_proxy', '')},{environment.get('NO_PROXY', '')}".split(",")
    entries = [entry for entry in map(_readable, given) if entry]
    return list(dict.fromkeys((*entries, *direct_hosts(environment))))


def _readable(entry: str) -> str:
    """An entry of NO_PROXY as httpx reads it, which fails at bracketed and ranged IPv6 addresses; else nothing."""
    entry = entry.strip()
    address = entry.strip("[]")
    if entry.count(":") < 2 or "://" in entry:
        return entry
    with suppress(ValueError):
        return str(ipaddress.IPv6Address(address))
    return ""


def _is_this_machine(host: str) -> bool:
    """Whether an address that `host` stands for can be listened on here."""
    with suppress(OSError, UnicodeError):
        for family, kind, _, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM) if host else ():
            with suppress(OSError), socket.socket(family, kind) as probe:
                probe.bind(place)
                return True
    return False


def _unusable(name: str, value: str) -> bool:
    """Whether a variable keeps every client from starting, even one that asks loopback alone."""
    if name in _CERTIFICATES:
        places = value.split(os.pathsep) if name == "SSL_CERT_DIR" else [value]
        return not any(Path(place).exists() for place in places)
    if name == "SSLKEYLOGFILE":
        return not Path(value).parent.is_dir()
    if name.lower() not in _PROXIES or not value:
        return False
    kinds = ("http", "https", *(("socks5", "socks5h") if find_spec("socksio") else ()))
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        return parts.scheme not in kinds or not parts.hostname or (parts.port or 1) < 1
    except ValueError:
        return True


def work_in(folder: Path) -> None:
    """Leave the user's folder: Prefect reads .env, prefect.toml and pyproject.toml of the one that it works in.

    Relative paths still start where the command was typed: `flows.runtime.settings.started_in`.
    """
    os.environ["SAEFLOW_FOLDER"] = str(Path.cwd())
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)


@cache
def neutral_dask() -> None:
    """Give Dask its packages' own defaults in this process, whatever ~/.config/dask and /etc/dask say.

    DASK_* variables count: `settle` has taken the user's out, those of a job script are the profile's.

    Raises:
        BadInput: Dask cannot read a file that it reads when it is imported.
    """
    try:
        import dask.config
    except ValueError as error:
        said = " ".join(str(error).split())
        raise BadInput(f"{said}; correct the file or move it away: saeflow uses nothing of it") from error
    dask.config.paths.clear()
    dask.config.refresh()


def dask_files() -> list[Path]:
    """The files of the user and of this machine in which Dask would find a setting; it writes empty ones itself."""
    prefixes = dict.fromkeys((sys.prefix, *site.PREFIXES))
    names = [
        _taken.get("DASK_ROOT_CONFIG", "/etc/dask"),
        *(f"{prefix}/etc/dask" for prefix in prefixes),
        "~/.config/dask",
    ]
    folders = [Path(name).expanduser() for name in (*names, _taken.get("DASK_CONFIG")) if name]
    files = [file for folder in folders for file in (sorted(folder.glob("*")) if folder.is_dir() else [folder])]
    return [file for file in files if file.suffix in (".yaml", ".yml", ".json") and _says_something(file)]


def _says_something(file: Path) -> bool:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8")) is not None
    except (yaml.YAMLError, UnicodeDecodeError):
        return True
    except OSError:
        return False
