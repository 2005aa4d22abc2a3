"""The page of `make chaos`: whole, safe and in need of nothing else."""

import re
from html.parser import HTMLParser
from math import inf
from xml.etree import ElementTree as ET

import attrs
import pytest

from lab.page import page
from lab.records import Bin, Bounds, Deed, Record
from lab.timeline import LEFT, WIDTH, timeline
from lab.verdicts import Holding, Stream

HELD = Record(
    title="the MASTER is killed <&> started",
    nodes="hapair",
    group="processes",
    length=4.0,
    bounds=Bounds(0.7, 0.1),
    deeds=(Deed("the MASTER is killed <&> started", 0.3, 1.1),),
    holdings=(
        Holding(0.0, frozenset({"lb-a"})),
        Holding(0.3, frozenset()),
        Holding(0.4, frozenset({"lb-b"})),
        Holding(2.0, frozenset({"lb-a", "lb-b"})),
        Holding(2.1, frozenset({"lb-a"})),
    ),
    bins=(Bin(10, 0, 0.004), Bin(0, 10, 0.0), Bin(5, 5, 0.4), *[Bin(10, 0, 0.003)] * 197),
    streams=(Stream(0.0, 0.3, "download", 5000, "ECONNRESET"), Stream(0.5, 2.5, "upload", 400_000)),
    outage=0.08,
    asked=2000,
    failed=15,
)
BROKEN = attrs.evolve(
    HELD,
    nodes="keepalived",
    outage=inf,
    problems=("not within 8.0 s: <lb-a> holds the VIP and serves",),
    again="make chaos SEED=7",
)
NOT_HERE = Record("the cgroup is frozen", "hapair", "processes", 0.0, Bounds(1, 1), why_not="no freezer")


class Balance(HTMLParser):
    """Every tag that is opened is closed, and where it may be."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name == "href"]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text():
    return page([HELD, BROKEN, NOT_HERE])


def test_it_is_well_formed_and_its_links_lead_somewhere(text):
    seen = Balance()
    seen.feed(text)
    seen.close()
    assert seen.open == []
    assert len(seen.ids) == len(set(seen.ids)) == 2
    assert {link.removeprefix("#") for link in seen.links} == set(seen.ids)


def test_it_needs_nothing_from_elsewhere(text):
    without_names = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|<img|src=", without_names)


def test_what_was_measured_and_broken_is_said_and_escaped(text):
    for words in (
        "1 of 1",
        "0 of 1",
        "keepalived + HAProxy",
        "gap 80 ms (≤ 700 ms)",
        "for ever",
        "15 of 2000 requests failed",
        "not within 8.0 s: &lt;lb-a&gt; holds the VIP and serves",
        "the MASTER is killed &lt;&amp;&gt; started",
        "make chaos SEED=7",
        "not here: no freezer",
    ):
        assert words in text
    assert "<&>" not in text


def test_the_table_has_four_columns_for_each_kind_of_node(text):
    assert text.count('<th class="n kind">gap</th>') == 2
    assert text.count('colspan="9"') == 1


def test_light_and_dark_are_both_there(text):
    assert "color-scheme: light dark" in text
    assert "prefers-color-scheme: dark" in text


def test_a_timeline_is_xml_and_stays_on_its_paper():
    root = ET.fromstring(timeline(HELD))
    classes = [element.get("class") for element in root.iter() if element.get("class")]
    for kind in ("deed", "lb-a", "lb-b", "both", "ok", "failed", "latency", "stream", "mark", "axis"):
        assert kind in classes
    height = float(root.get("viewBox").split()[3])
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert LEFT <= float(rect.get("x")) <= WIDTH
        assert float(rect.get("x")) + float(rect.get("width")) <= WIDTH
        assert 0 <= float(rect.get("y")) <= height


def test_nobody_is_drawn_where_nobody_held_the_vip():
    spans = re.findall(r"<title>(lb-[ab](?: \(both\))?: [^<]+)</title>", timeline(HELD))
    assert spans == [
        "lb-a: 0.00 s to 0.30 s",
        "lb-a (both): 2.00 s to 2.10 s",
        "lb-a: 2.10 s to 4.00 s",
        "lb-b: 0.40 s to 2.00 s",
        "lb-b (both): 2.00 s to 2.10 s",
    ]


def test_names_of_a_sequence_do_not_lie_upon_each_other():
    crowded = attrs.evolve(
        HELD,
        title="seed 1",
        deeds=tuple(Deed(f"something with a long name {n}", 0.1 * n, 0.1 * n + 0.05) for n in range(6)),
    )
    lines = re.findall(r'class="deed-name" x="([0-9.]+)" y="([0-9]+)">([^<]+)<', timeline(crowded))
    assert len(lines) == len({(y, x) for x, y, _ in lines}) == 6
    assert len({y for _, y, _ in lines}) > 1


def test_what_was_not_done_is_not_drawn():
    assert timeline(NOT_HERE) == ""
