"""Refuse open doors: a server that answers anybody, on an address that others reach, runs their code as the user."""

import urllib.error
import urllib.request
from urllib.parse import urlparse

from core.errors import BadInput
from flows.runtime.environment import LOOPBACK
from flows.runtime.profiles import SlurmProfile

_ANSWER_WITHIN_S = 10.0
_PREFECT = (
    "start the server with PREFECT_SERVER_API_AUTH_STRING=user:password, and set PREFECT_API_AUTH_STRING alike here"
)
_MLFLOW = "start it with --app-name basic-auth and --allowed-hosts, and set MLFLOW_TRACKING_USERNAME and _PASSWORD here"


def is_private(profile: SlurmProfile) -> bool:
    """Whether workers and servers are all on this machine's loopback, out of others' reach."""
    return profile.host in LOOPBACK if profile.host else profile.interface == "lo"


def refuse_open_doors(profile: SlurmProfile, prefect_url: str, tracking_uri: str) -> None:
    """Check that nodes reach Prefect and MLflow, and that neither answers without a password.

    On loopback nothing is asked for. Dask's own connections are TLS with certificates made for the stage.

    Raises:
        BadInput: a server is out of the nodes' reach, does not answer, or answers anybody.
    """
    if is_private(profile):
        return
    _within_reach("PREFECT_API_URL", prefect_url, "prefect server start --host ADDRESS-OF-THIS-MACHINE")
    _locked("Prefect", f"{prefect_url}/admin/version", _PREFECT)
    _within_reach("SAEFLOW_TRACKING_URI", tracking_uri, "mlflow server --host ADDRESS-OF-THIS-MACHINE")
    _locked("MLflow", f"{tracking_uri}/api/2.0/mlflow/experiments/search?max_results=1", _MLFLOW)


def _within_reach(variable: str, url: str, mend: str) -> None:
    host = urlparse(url).hostname
    if not url.startswith(("http://", "https://")) or host in LOOPBACK:
        raise BadInput(f"{variable} is {url or 'not set'}, which nodes of the cluster cannot reach: {mend}, and set it")


def _locked(name: str, url: str, mend: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_WITHIN_S):  # http(s) only: _within_reach
            pass
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return
        raise BadInput(f"{name} at {url}: HTTP {error.code}") from error
    except OSError as error:
        raise BadInput(f"{name} at {url} does not answer: {error}") from error
    raise BadInput(f"{name} at {url} answers anybody, and whoever reaches it can run code as you: {mend}")
