"""The witnesses see what is there, and see it when it happens."""

import signal
import socket
import sys
import time

import pytest
import trio

from lab import verdicts
from lab.probers import LIBRARY, AdvertWitness, RequestProber, VipSampler, ask_arp, fetch, who_has
from lab.scenario import start_backends
from lab.topology import BALANCERS, PAIR6, VIP, netlink, open_lab

pytestmark = pytest.mark.netns


def _put_vip(lab, name, command):
    with netlink(lab[name].net) as inside:
        index = inside.link_lookup(ifname="eth0")[0]
        inside.addr(command, index=index, address=str(VIP.ip), prefixlen=VIP.network.prefixlen)


async def _until(is_true):
    with trio.fail_after(5):
        while not is_true():  # noqa: ASYNC110 -- other processes and the kernel tell nobody
            await trio.sleep(0.005)


async def test_the_prober_records_who_answered_and_the_gap_when_nobody_did(lab, nursery):
    await start_backends(lab)
    prober = RequestProber(lab["client"], lab.topology["web1"].address)
    nursery.start_soon(prober.run)
    await _until(lambda: len(prober.requests) > 50)
    assert all(request.backend == "web1" for request in prober.requests)
    stopped = time.monotonic()
    lab["web1"].kill_everything(signal.SIGSTOP)
    await trio.sleep(0.2)
    lab["web1"].kill_everything(signal.SIGCONT)
    await trio.sleep(0.2)
    assert 0.19 < verdicts.gap(prober.requests, stopped, time.monotonic()) < 0.4


async def test_the_prober_says_why_a_request_failed(lab, nursery):
    refused = RequestProber(lab["client"], lab.topology["web1"].address)
    nobody = RequestProber(lab["client"], VIP.ip, timeout=0.1)
    nursery.start_soon(refused.run)
    nursery.start_soon(nobody.run)
    await _until(lambda: refused.requests and nobody.requests)
    assert refused.requests[0].error == "ECONNREFUSED"
    assert nobody.requests[0].error == "timeout"


async def test_the_sampler_sees_one_holder_then_two_then_none(lab, nursery):
    sampler = VipSampler({name: machine.net for name, machine in lab.machines.items()}, VIP.ip)
    nursery.start_soon(sampler.run)
    await _until(lambda: sampler.holdings)
    for name, command in [("lb-a", "add"), ("lb-b", "add"), ("lb-a", "del"), ("lb-b", "del")]:
        before = sampler.holders
        _put_vip(lab, name, command)
        await _until(lambda: sampler.holders != before)  # noqa: B023 -- awaited before it changes
    seen = [sorted(holding.holders) for holding in sampler.holdings]
    assert seen == [[], ["lb-a"], ["lb-a", "lb-b"], ["lb-b"], []]
    first, second = sampler.holdings[2].since, sampler.holdings[3].since
    assert verdicts.two_holders(sampler.holdings, 0, time.monotonic()) == pytest.approx(second - first)


async def test_a_client_that_forgets_its_neighbour_asks_again(lab):
    client = lab["client"].net
    _put_vip(lab, "lb-a", "add")
    with client.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.sendto(b"x", (str(VIP.ip), 9))
        await _until(lambda: _mac_of_vip(lab))
        first = _mac_of_vip(lab)
        _put_vip(lab, "lb-a", "del")
        _put_vip(lab, "lb-b", "add")
        lab.forget_neighbour("client", VIP.ip)
        sock.sendto(b"x", (str(VIP.ip), 9))
        await _until(lambda: _mac_of_vip(lab) not in (None, first))


def _mac_of_vip(lab) -> str | None:
    with netlink(lab["client"].net) as inside:
        entries = [entry for entry in inside.get_neighbours() if entry.get_attr("NDA_DST") == str(VIP.ip)]
    return entries[0].get_attr("NDA_LLADDR") if entries else None


async def test_adverts_are_heard_by_their_source_and_nothing_else_is(lab, nursery):
    witness = AdvertWitness(lab["client"].net)
    nursery.start_soon(witness.run)
    with lab["lb-a"].net.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, lab.topology["lb-a"].address.packed)
    source = str(lab.topology["lb-a"].address)
    with raw, trio.fail_after(5):
        async with trio.open_nursery() as sending:

            async def send() -> None:
                while True:
                    raw.sendto(b"an advert, or what claims to be one", ("224.0.0.18", 0))
                    await trio.sleep(0.01)

            sending.start_soon(send)
            before = time.monotonic()
            first = await witness.next_from(source)
            assert before < first < await witness.next_from(source)
            sending.cancel_scope.cancel()
    await ask_arp(lab["client"].net, VIP.ip, lab.topology["client"].address)
    assert witness.heard.keys() == {source}


async def test_arp_answers_are_counted_by_mac(lab):
    client = lab.topology["client"].address
    assert await ask_arp(lab["client"].net, VIP.ip, client) == set()
    _put_vip(lab, "lb-a", "add")
    assert len(await ask_arp(lab["client"].net, VIP.ip, client)) == 1
    _put_vip(lab, "lb-b", "add")
    assert len(await ask_arp(lab["client"].net, VIP.ip, client)) == 2


async def test_fetch_returns_status_fields_and_body(lab):
    await start_backends(lab)
    status, fields, body = await fetch(lab["client"].net, lab.topology["web2"].address, "/")
    assert (status, body) == (200, b"web2\n")
    assert fields["x-peer"] == str(lab.topology["client"].address)


async def test_a_busy_port_ends_a_backend_at_once(lab):
    await start_backends(lab)
    words = [sys.executable, "-m", "lab.backends", "web1", str(lab.topology["web1"].address), "80"]
    second = await lab["web1"].spawn(words, env=LIBRARY)
    assert await second.wait() == 1


async def test_ndp_answers_are_counted_by_mac_and_ipv6_holders_are_seen():
    async with open_lab(PAIR6) as lab, trio.open_nursery() as nursery:
        client, vip = lab.topology["client"].address, lab.topology.vip
        sampler = VipSampler({name: machine.net for name, machine in lab.machines.items()}, vip.ip)
        nursery.start_soon(sampler.run)
        assert await who_has(lab["client"].net, vip.ip, client) == set()
        for count, name in enumerate(BALANCERS, start=1):
            with netlink(lab[name].net) as inside:
                index = inside.link_lookup(ifname="eth0")[0]
                inside.addr("add", index=index, address=str(vip.ip), prefixlen=64, flags=0x02)
            assert len(await who_has(lab["client"].net, vip.ip, client)) == count
        assert [sorted(seen.holders) for seen in sampler.holdings] == [[], ["lb-a"], ["lb-a", "lb-b"]]
        nursery.cancel_scope.cancel()
