"""Start a real Prefect server and a real MLflow server before any other test: what resolves may not run."""

import os
import tempfile
import time
from pathlib import Path

from cli import servers
from cli.children import start, stop, wait_for
from core.store.workspace import Workspace
from flows.runtime.settings import Settings


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        settings = Settings(Workspace(root), f"sqlite:///{root / 'mlflow.db'}", "")
        settings.workspace.check_writable()
        began = time.monotonic()
        os.environ.update(servers.quiet_environment(settings))
        port = servers.free_port()
        with servers.prefect_api(settings) as api:
            print(f"prefect server: {api} after {time.monotonic() - began:.0f} s")
            log = root / "logs" / "mlflow.log"
            child = start(servers.mlflow_command(settings, port), os.environ, log)
            try:
                wait_for(child, lambda: servers.healthy(f"http://127.0.0.1:{port}/health"), "MLflow", log)
                print(f"mlflow server: port {port} after {time.monotonic() - began:.0f} s")
            finally:
                stop(child)


if __name__ == "__main__":
    main()
