"""What a GPU makes of saeflow: SAE training, capture, and whether both agree with the CPU. One command, 8 minutes.

    python benchmarks/gpu.py [--wheels DIR] [--only sae,capture,equality] [--seconds 420] [--out FILE] [--small]

Needs Python 3.12 with torch, transformers, numpy, scipy, pyarrow, scikit-learn, safetensors, jinja2, pyyaml and pillow,
and no network. `sh benchmarks/gpu_wheels.sh DIR` fetches what else core and the peer import (40 MB), and `--wheels DIR`
puts it on the path without installing anything. `--small` runs the same code at a size that two CPU cores finish in a
minute; its figures mean nothing. Each part has a share of `--seconds`. What is skipped is named with the reason, in the
tables and in FILE, which gets the printed figures as JSON.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
import traceback
import zipfile
from pathlib import Path
from typing import Any

NOT_ASKED = "not among --only"
SHARES = {"sae": 0.5, "capture": 0.35, "equality": 0.15}


def unpack(wheels: Path, place: Path) -> None:
    """Put the wheels of this Python and machine on the path."""
    found = sorted(wheels.glob("*.whl"))
    if not found:
        sys.exit(f"{wheels}: no wheels there; `sh benchmarks/gpu_wheels.sh {wheels}` fetches them")
    for wheel in found:
        with zipfile.ZipFile(wheel) as file:
            file.extractall(place)
    sys.path.append(str(place))  # behind what is installed


def run(only: list[str], size: Any, seconds: float, device: str, out: Path) -> dict[str, Any]:
    """Every part, one after the other; a part that fails or is left out is named, and the others run.

    `out` is written after every part, for a lent machine can be taken back at any moment.
    """
    from gpu_capture import capture
    from gpu_equality import equality
    from gpu_machine import machine
    from gpu_sae import sae

    parts = {"sae": sae, "capture": capture, "equality": equality}
    found: dict[str, Any] = {"machine": machine(device)}
    for name in parts:
        if name not in only:
            print(f"\n## {name}\n\nskipped: {NOT_ASKED}", flush=True)
            found[name] = {"skipped": NOT_ASKED}
            continue
        began = time.perf_counter()
        print(f"\n## {name}\n", flush=True)
        try:
            found[name] = parts[name](size, device, time.perf_counter() + SHARES[name] * seconds)
        except Exception as error:  # a benchmark on a lent machine: the other parts' figures must not be lost
            traceback.print_exc()
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"\n({name}: {time.perf_counter() - began:.0f} s)", flush=True)
    return found


def main() -> None:
    """Unpack, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder of wheels that benchmarks/gpu_wheels.sh fetched")
    parser.add_argument("--only", default=",".join(SHARES), help="parts to run, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="where the figures go as JSON")
    parser.add_argument("--seconds", type=float, default=420.0, help="for all parts together")
    parser.add_argument("--small", action="store_true", help="a size for two CPU cores")
    given = parser.parse_args()
    only = given.only.split(",")
    if unknown := [name for name in only if name not in SHARES]:
        parser.error(f"--only: {unknown[0]!r} is none of {', '.join(SHARES)}")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    with tempfile.TemporaryDirectory() as place:
        if given.wheels is not None:
            unpack(given.wheels, Path(place))
        from gpu_machine import FULL, SMALL, default_device

        device = default_device()
        if device == "cpu" and not given.small:
            sys.exit("no GPU is here; `--small` tries the script on the CPU")
        print(f"python {platform.python_version()}, device {device}", flush=True)
        found = run(only, SMALL if given.small else FULL, given.seconds, device, given.out)
    print(f"\nfigures: {given.out}")
    if any("failed" in part for part in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
