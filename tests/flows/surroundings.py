"""A user's surroundings that would change a study: another cluster's settings, a cloud's profile, a dead proxy."""

import shutil
from pathlib import Path

# `%` begins a code in URLs and in SLURM's patterns, `#` ends both, shells have quotes, polars takes [1] for 1.
ODD_NAME = "ملف 50% #c'd\"e [1]"
DEAD_PROXY = "http://127.0.0.1:9"
_FOREIGN = {
    "HTTP_PROXY": DEAD_PROXY,
    "https_proxy": DEAD_PROXY,
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "no_proxy": "example.org,fd00::/8",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
    "SBATCH_PARTITION": "debug",
    "SBATCH_TIMELIMIT": "1",
    "SBATCH_EXPORT": "NONE",
    "SLURM_MEM_PER_CPU": "1",
    "SLURM_MEM_PER_NODE": "1",
    "SQUEUE_FORMAT2": "jobid",
    "SQUEUE_STATES": "PENDING",
    "SACCT_FORMAT": "jobid",
    "SLURM_TIME_FORMAT": "relative",
    "SCANCEL_STATE": "SUSPENDED",
    "CUDA_VISIBLE_DEVICES": "7",
    "DASK_DISTRIBUTED__WORKER__PRELOAD": "nobody.has.this",
    "PREFECT_PROFILE": "cloud",
    "PREFECT_API_KEY": "secret",
    "PREFECT_HOME": "/nowhere",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_API_AUTH_STRING": "me:secret",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////nowhere/x.db",
    "PREFECT_TASKS_DEFAULT_RETRIES": "7",
    "MLFLOW_TRACKING_URI": DEAD_PROXY,
    "MLFLOW_RUN_ID": "1",
    "MLFLOW_EXPERIMENT_ID": "42",
    "MLFLOW_STATIC_PREFIX": "/ml",
    "UVICORN_PORT": "1",
    "WEB_CONCURRENCY": "3",
}


def hostile_home(folder: Path) -> Path:
    """A home with a Dask configuration for another cluster, and Prefect's profile for its cloud."""
    (folder / ".config" / "dask").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("hostile_dask.yaml"), folder / ".config" / "dask" / "jobqueue.yaml")
    (folder / ".prefect").mkdir()
    profile = 'active = "cloud"\n[profiles.cloud]\nPREFECT_API_URL = "https://api.prefect.cloud/api"\n'
    (folder / ".prefect" / "profiles.toml").write_text(f'{profile}PREFECT_API_KEY = "secret"\n')
    return folder


def hostile(folder: Path) -> dict[str, str]:
    """Variables of a shell, with that home in `folder`."""
    return {**_FOREIGN, "HOME": str(hostile_home(folder))}
