"""`hapair vrrp watch` on real interfaces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from cli.speaker import A, B, Speaker, advert
from kernel.namespaces import pair
from vrrp.processes import INTERRUPTIBLE, Program

from hapair.cli.watch import line
from hapair.vrrp import wire
from hapair.vrrp.sighting import Captured, sight


@pytest.fixture
def wire_pair():
    with pair() as (here, there):
        speaker = Speaker(there)
        yield here, speaker
        speaker.close()


def watch(namespace, *options):
    return Program(namespace, sys.executable, "-u", "-m", "hapair", "vrrp", "watch", "-i", "eth0", *options)


def test_a_line_masks_the_password_and_shows_the_doubts():
    payload = advert(A, 150, wire.Dialect(2, 1.0, b"secret"))
    shown = line(sight(Captured(0.0, "", True, A, wire.GROUP, 64, payload)))
    assert "192.0.2.1 > 224.0.0.18  vrid 51  v2  priority 150  interval 1s  ttl 64  checksum ok" in shown
    assert "auth password ******  addresses 192.0.2.100  (this host)" in shown
    assert shown.endswith("INVALID: TTL 64 instead of 255")
    assert "secret" not in shown


@pytest.mark.netns
def test_each_advert_is_a_line_and_a_new_master_is_told(wire_pair):
    here, speaker = wire_pair
    program = watch(here, "--count", "3")
    program.wait_for("watching eth0")
    speaker.say(B, advert(B, 150))
    program.wait_for("*** vrid 51: 192.0.2.2 is master (priority 150)")
    speaker.say(B, advert(B, 100, wire.Dialect(2, 1.0, b"secret"), vrid=52))
    speaker.say(B, advert(B, 0))
    assert program.process.wait(10) == 0
    program.wait_for("*** vrid 51: 192.0.2.2 resigns (priority 0)")
    program.wait_for("3 adverts")
    assert program.said("vrid 52  v2  priority 100  interval 1s  ttl 255  checksum ok  auth password ******")
    program.close()


@pytest.mark.netns
def test_json_is_an_object_in_each_line_and_other_routers_are_left_out(wire_pair):
    here, speaker = wire_pair
    program = watch(here, "--json", "--vrid", "51", "--seconds", "3", "--count", "1")
    give_up = 50
    while program.process.poll() is None and give_up:  # it says nothing before the first advert
        speaker.say(B, advert(B, 100, vrid=52))
        speaker.say(B, advert(B, 150))
        give_up -= 1
        try:
            program.process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    program.close()
    first, change = (json.loads(text) for text in program.lines)
    assert (first["event"], first["source"], first["vrid"]) == ("advert", "192.0.2.2", 51)
    assert (first["addresses"], first["checksum"], first["outgoing"]) == (["192.0.2.100"], "pseudo", False)
    assert (change["event"], change["what"], change["vrid"]) == ("change", "master", 51)


@pytest.mark.netns
def test_ctrl_c_ends_it_without_a_word_of_complaint(wire_pair):
    here, _ = wire_pair
    program = Program(
        here, *INTERRUPTIBLE, sys.executable, "-u", "-m", "hapair", "vrrp", "watch", "-i", "eth0"
    )
    try:
        program.wait_for("watching eth0")
        os.kill(program.pid, signal.SIGINT)
        assert program.process.wait(10) == 0
    finally:
        program.close()
    assert program.lines == ["watching eth0, Ctrl-C ends it", "0 adverts"]


@pytest.mark.netns
def test_no_such_interface_and_no_permission_are_explained(wire_pair):
    here, _ = wire_pair
    words = [sys.executable, "-m", "hapair", "vrrp", "watch", "-i"]
    done = subprocess.run(here.command(*words, "eth9"), capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no such interface" in done.stderr
    unprivileged = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", *words, "eth0"]
    done = subprocess.run(here.command(*unprivileged), capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs CAP_NET_RAW" in done.stderr
