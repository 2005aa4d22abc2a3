"""What is kept of a scenario: judged, shortened, counted."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from lab.records import BEFORE, BINS, Bounds, Deed, bin_width, bins, record
from lab.verdicts import Holding, Request, Stream

A, B, BOTH = frozenset({"lb-a"}), frozenset({"lb-b"}), frozenset({"lb-a", "lb-b"})


ALWAYS_A = (Holding(0.0, A),)


def served(*ends):
    return [Request(end - 0.001, end, backend="web1", via="192.0.2.11") for end in ends]


def judged(requests, *, bounds=None, holdings=ALWAYS_A, streams=(), problems=()):
    return record(
        title="something",
        nodes="hapair",
        group="wire",
        bounds=bounds or Bounds(0.5, 0.1),
        start=10.0,
        end=20.0,
        deeds=[Deed("something", 11.0, 12.0)],
        requests=requests,
        holdings=holdings,
        streams=streams,
        problems=problems,
    )


ALWAYS = [9.5 + n / 32 for n in range(340)]
UNANSWERED = [Request(12.0 + n / 32, 12.5 + n / 32, error="timeout") for n in range(32)]


def test_what_costs_no_more_than_it_may_is_held():
    one = judged(served(*ALWAYS))
    assert one.verdict == "held"
    assert (one.asked, one.failed, one.two_holders) == (320, 0, 0.0)
    assert one.length == 10.0 + BEFORE
    assert one.deeds == (Deed("something", 1.0 + BEFORE, 2.0 + BEFORE),)


def test_an_outage_beyond_its_bound_is_told():
    one = judged([*served(*(end for end in ALWAYS if not 12.0 < end < 13.0)), *UNANSWERED])
    assert one.problems == ("nobody was served for 1.00 s, 0.50 s are allowed",)
    assert judged([]).problems == ("nobody was served for ever, 0.50 s are allowed",)
    assert judged([]).outage == inf


def test_two_holders_beyond_their_bound_are_told():
    one = judged(served(*ALWAYS), holdings=[Holding(0.0, A), Holding(12.0, BOTH), Holding(12.5, B)])
    assert one.problems == ("the VIP was on both nodes for 0.50 s, 0.10 s are allowed",)
    assert one.holdings == (
        Holding(0.0, A),
        Holding(2.0 + BEFORE, BOTH),
        Holding(2.5 + BEFORE, B),
    )


def test_a_reload_may_lose_neither_request_nor_stream():
    nothing = Bounds(0.5, 0.1, failed=0)
    lost = [*served(*ALWAYS), Request(12.0, 12.1, error="ECONNRESET")]
    assert judged(lost, bounds=nothing).problems == ("1 requests and 0 streams failed: ECONNRESET",)
    cut = [Stream(9.0, 12.0, "download", 77, "cut")]
    assert judged(served(*ALWAYS), bounds=nothing, streams=cut).problems == (
        "0 requests and 1 streams failed: cut",
    )
    assert judged(lost).problems == ()


def test_what_others_found_counts_as_well():
    assert judged(served(*ALWAYS), problems=["a wrong body"]).verdict == "BROKEN"


@given(
    st.lists(st.tuples(st.floats(0, 90), st.floats(0, 0.5), st.booleans()), max_size=200),
    st.floats(0.1, 80),
)
def test_every_request_of_the_window_is_in_one_column_and_columns_are_bounded(sent, length):
    requests = [
        Request(start, start + took, backend="web1" if ok else None, error=None if ok else "timeout")
        for start, took, ok in sent
    ]
    columns = bins(requests, 5.0, 5.0 + length)
    inside = [request for request in requests if 5.0 <= request.start < 5.0 + length]
    assert sum(one.ok for one in columns) == sum(request.ok for request in inside)
    assert sum(one.failed for one in columns) == sum(not request.ok for request in inside)
    assert len(columns) <= BINS + 1
    assert len(columns) * bin_width(length) >= length * 0.999
