"""A data plane that was configured but never listens: what the API shows and changes."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hapair.api.commands import Commands
from hapair.config import model
from hapair.dataplane.service import DataPlane
from hapair.health.probes.outcome import Outcome
from hapair.health.service import Verdict


class Silent:
    def write(self, severity, line, data=b""):
        pass

    write_clean = write

    def flush(self):
        pass


def servers() -> tuple[model.Server, ...]:
    check = model.Check()
    return (
        model.Server(name="s1", id=1, host="192.0.2.1", port=80, weight=10, cookie="one", check=check),
        model.Server(name="s2", id=2, host="192.0.2.2", port=80, check=check),
        model.Server(name="s3", id=3, host="2001:db8::3", port=80, backup=True, maxconn=7),
    )


@pytest.fixture
def plane():
    found = DataPlane(100, Silent(), lambda _: lambda _: None)
    bind = model.Bind("127.0.0.1:0", host=ip_address("127.0.0.1"), port=0)
    node = model.NodeConfig(
        node=model.Node("lb-a"),
        frontends={
            "fe": model.Frontend("fe", (bind,), model.Mode.HTTP, default_backend="be"),
        },
        backends={"be": model.Backend("be", servers(), model.Mode.HTTP)},
    )
    found.commit(found.prepare(node), ())
    yield found
    found._close_all()  # the task that would do it never ran


@pytest.fixture
def verdicts():
    down = Outcome(ok=False, status="L4CON", duration=0.002, info="Connection refused")
    good = Outcome(ok=True, status="L7OK", duration=0.001, info="OK", code=200)
    return {
        ("be", "s1"): Verdict(True, False, good, "3/3 UP", 0.0),
        ("be", "s2"): Verdict(False, True, down, "0/2 DOWN", 0.0),
    }


@pytest.fixture
def changes():
    return []


@pytest.fixture
def commands(plane, verdicts, changes):
    plane.set_server_up("be", "s2", up=False)
    return Commands(
        plane, lambda: verdicts, list, lambda: changes.append("changed"), lambda: 100.0, lambda: 7
    )
