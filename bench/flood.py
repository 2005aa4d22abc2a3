"""Twenty sources on loopback, one of them honest: what it notices of the others behind each defence.

python bench/flood.py [--seconds 8]

Each defence of netns-lab/lab/floods.py, and none as the control.  Latencies in milliseconds; "onset" is the
worst answer in the two seconds in which the limits take hold.  The target: no error, and a p99 of at most
1.5 times that without a flood.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "netns-lab"))

from rules import cpu, free_port, wait_for

from lab import floods

ONSET = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    options = parser.parse_args()
    print(
        "| defence | calm p50 | calm p99 | onset | flood p50 | flood p99 | p99 ratio | errors | node's CPU |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    wrong = False
    with floods.server() as back, tempfile.TemporaryDirectory() as folder:
        for defence in floods.DEFENCES:
            front, file = free_port(), Path(folder) / "node.toml"
            file.write_text(floods.config(defence, front, back))
            command = [str(Path(sys.executable).with_name("hapair")), "run", str(file)]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as node:
                try:
                    wait_for(front)
                    floods.visit(front, 1.0)  # everything is there once
                    calm = floods.visit(front, options.seconds)
                    with floods.flood(front):
                        onset = floods.visit(front, ONSET)
                        before = cpu(node.pid)
                        hit = floods.visit(front, options.seconds)
                        busy = (cpu(node.pid) - before) / options.seconds
                finally:
                    node.terminate()
            ratio, errors = hit.at(99) / calm.at(99), hit.errors + onset.errors + calm.errors
            figures = [calm.at(50), calm.at(99), onset.at(100), hit.at(50), hit.at(99)]
            shown = " | ".join(f"{figure * 1000:.1f}" for figure in figures)
            print(f"| {defence} | {shown} | {ratio:.2f} | {errors} | {busy:.0%} |", flush=True)
            wrong |= defence != "none" and (ratio > 1.5 or errors > 0)
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
