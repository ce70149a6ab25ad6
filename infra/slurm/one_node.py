"""A real SLURM on this machine, several nodes, made-up GPUs: `python -m infra.slurm.one_node up | down | status`.

Debian's own packages on loopback, without systemd, in a folder of its own; nothing of a SLURM that is there already is
touched. Afterwards `export SLURM_CONF=…` (printed by `up`) is all that sbatch and squeue need. A GPU is a link to
/dev/null: SLURM counts and hands out what CUDA cannot see. No memory is confined; a job that exceeds what it asked for
is killed by SLURM at its next look (every two seconds). Nodes take a second and a half to tidy up after a job, as on a
cluster: until then SLURM calls it COMPLETING.
"""

import argparse
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
COMMANDS = ("slurmctld", "slurmd", "sbatch", "munged")
DEFAULT_FOLDER = Path("/tmp/saeflow-slurm")
UP_WITHIN_S = 30.0
_CONF = """ClusterName=one-node
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge/munge.sock
SlurmctldPort={port}
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmdParameters=config_overrides
MpiDefault=none
DefMemPerCPU=500
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=1
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=30
InactiveLimit=0
MinJobAge=3600
KillWait=2
Epilog={folder}/etc/epilog
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobcomp.txt
GresTypes=gpu
"""


@dataclass(frozen=True)
class Shape:
    """What the nodes claim to have; memory in MB."""

    nodes: int = 3
    cpus: int = 4
    gpus: int = 2
    memory: int = 16000
    port: int = 16817


def up(folder: Path, shape: Shape) -> None:
    """Start munge, the controller and the nodes; returns once every node is idle.

    Raises:
        SystemExit: packages are missing and cannot be installed, the folder's path cannot stand in slurm.conf, or a
            node does not come up.
    """
    if not re.fullmatch(r"[\w./+,@-]+", str(folder), re.ASCII):
        raise SystemExit(f"--folder {str(folder)!r}: slurm.conf takes letters, digits and ./+,@_- alone; name another")
    _install()
    down(folder)
    for name in ("etc", "log", "run", "state", "spool", "munge", "dev"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _configure(folder, shape)
    _munge(folder)
    conf = str(folder / "etc" / "slurm.conf")
    subprocess.run(["slurmctld", "-i", "-f", conf], check=True)
    for number in range(1, shape.nodes + 1):
        start_node(folder, number)
    _wait_until_idle(folder)
    print(f"export SLURM_CONF={conf}")


def start_node(folder: Path, number: int) -> None:
    """Start the daemon of node `number`, counted from 1."""
    subprocess.run(["slurmd", "-N", f"n{number}", "-f", str(folder / "etc" / "slurm.conf")], check=True)


def stop_node(folder: Path, number: int) -> None:
    """Kill the daemon of node `number`, as a node that dies does."""
    _kill(folder / "run" / f"slurmd.n{number}.pid", signal.SIGKILL)


def down(folder: Path) -> None:
    """Stop what `up` started in this folder; jobs go with it."""
    conf = folder / "etc" / "slurm.conf"
    if _pid(folder / "run" / "slurmctld.pid") is not None:
        subprocess.run(["scancel", "--user", str(os.getuid())], env=_environment(conf), check=False)
    daemons = [*folder.glob("run/slurmd.*.pid"), folder / "run" / "slurmctld.pid", folder / "munge" / "munged.pid"]
    for pid_file in daemons:
        _kill(pid_file, signal.SIGTERM)
    deadline = time.monotonic() + UP_WITHIN_S
    while any(_pid(pid_file) is not None for pid_file in daemons) and time.monotonic() < deadline:
        time.sleep(0.1)


def status(folder: Path) -> int:
    """Print nodes and jobs; 1 where nothing runs."""
    conf = folder / "etc" / "slurm.conf"
    if _pid(folder / "run" / "slurmctld.pid") is None:
        print(f"no SLURM runs in {folder}; `up` starts one")
        return 1
    for words in (["sinfo", "-N", "-o", "%N %P %t %c CPUs %m MB %G"], ["squeue", "-o", "%i %j %P %T %r %M %N"]):
        subprocess.run(words, env=_environment(conf), check=True)
    print(f"export SLURM_CONF={conf}")
    return 0


def _install() -> None:
    """Install what is missing. Two that start a SLURM at once take turns, for apt refuses the second."""
    if all(which(name) for name in COMMANDS):
        return
    words = f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"
    if os.getuid() != 0:
        raise SystemExit(f"SLURM is not installed: sudo {words}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with FileLock(Path(tempfile.gettempdir()) / "saeflow-slurm-install.lock"):
        if all(which(name) for name in COMMANDS):
            return
        subprocess.run(["apt-get", "update", "-q"], env=quiet, check=True, stdout=sys.stderr)
        subprocess.run([*words.split(), "-y", "-q"], env=quiet, check=True, stdout=sys.stderr)


def which(name: str) -> str | None:
    """Where a daemon or command is; Debian keeps daemons out of an ordinary user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _configure(folder: Path, shape: Shape) -> None:
    host, user = socket.gethostname().partition(".")[0], pwd.getpwuid(os.getuid()).pw_name
    lines = [_CONF.format(host=host, user=user, folder=folder, port=shape.port).rstrip()]
    names = [f"n{number}" for number in range(1, shape.nodes + 1)]
    for number, name in enumerate(names, start=1):
        where = f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={shape.port + number}"
        lines.append(f"{where} CPUs={shape.cpus} RealMemory={shape.memory} Gres=gpu:{shape.gpus} State=UNKNOWN")
    listed = ",".join(names)
    lines.append(f"PartitionName=cpu Nodes={listed} Default=YES MaxTime=02:00:00 DefaultTime=00:10:00 State=UP")
    lines.append(f"PartitionName=gpu Nodes={listed} MaxTime=02:00:00 DefaultTime=00:10:00 State=UP")
    (folder / "etc" / "slurm.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for number in range(shape.gpus):
        device = folder / "dev" / f"gpu{number}"
        device.unlink(missing_ok=True)
        device.symlink_to("/dev/null")
    epilog = folder / "etc" / "epilog"
    epilog.write_text("#!/bin/sh\nsleep 1.5\n", encoding="utf-8")
    epilog.chmod(0o755)
    gres = f"AutoDetect=off\nName=gpu File={folder}/dev/gpu[0-{shape.gpus - 1}]\n"
    (folder / "etc" / "gres.conf").write_text(gres, encoding="utf-8")


def _munge(folder: Path) -> None:
    home = folder / "munge"
    key = home / "munge.key"
    if not key.exists():
        key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    as_munge: list[str] = []
    if os.getuid() == 0:
        for path in (home, *home.iterdir()):
            shutil.chown(path, "munge", "munge")
        as_munge = ["runuser", "-u", "munge", "--"]
    home.chmod(0o711)  # its socket is for every user; munged refuses a folder that others may write
    names = {"key-file": "key", "socket": "sock", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={home}/munge.{ending}" for option, ending in names.items()]
    munged = which("munged") or "munged"
    subprocess.run([*as_munge, munged, *options, f"--pid-file={home}/munged.pid", "--num-threads=2"], check=True)


def _wait_until_idle(folder: Path) -> None:
    environment = _environment(folder / "etc" / "slurm.conf")
    deadline = time.monotonic() + UP_WITHIN_S
    states = ""
    while time.monotonic() < deadline:
        states = subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%t"], env=environment, capture_output=True, text=True, check=False
        ).stdout
        if set(states.split()) == {"idle"}:
            return
        time.sleep(0.1)
    raise SystemExit(f"the nodes are not idle after {UP_WITHIN_S:.0f} s ({states.split()}); see {folder}/log")


def _environment(conf: Path) -> dict[str, str]:
    return {**os.environ, "SLURM_CONF": str(conf)}


def _pid(pid_file: Path) -> int | None:
    try:
        pid = int(pid_file.read_text(encoding="utf-8"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return None if state == "Z" else pid  # a zombie is no daemon, only one that nobody has buried


def _kill(pid_file: Path, how: signal.Signals) -> None:
    pid = _pid(pid_file)
    if pid is not None:
        os.kill(pid, how)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help=f"default: {DEFAULT_FOLDER}")
    parser.add_argument("--nodes", type=int, default=Shape.nodes, help=f"default: {Shape.nodes}")
    parser.add_argument("--cpus", type=int, default=Shape.cpus, help=f"that each node claims; default: {Shape.cpus}")
    parser.add_argument("--gpus", type=int, default=Shape.gpus, help=f"made-up GPUs a node; default: {Shape.gpus}")
    given = parser.parse_args()
    if given.action == "status":
        return status(given.folder)
    if given.action == "down":
        down(given.folder)
    else:
        up(given.folder, Shape(nodes=given.nodes, cpus=given.cpus, gpus=given.gpus))
    return 0


if __name__ == "__main__":
    sys.exit(main())
