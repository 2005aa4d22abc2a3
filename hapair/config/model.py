"""What node.toml means, as frozen values: the leaf that every room may import.

Everything is resolved here: [defaults] are merged into frontends and backends,
environment variables expanded, durations are seconds (`inf` where unset),
names refer to things that exist.  How these values are spelled and what range
they may have is `config.fields`' business.

Longer than most files: it is the list of all that can be configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from math import inf

import attrs

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network


class Mode(Enum):
    TCP = "tcp"
    HTTP = "http"


class LogFormat(Enum):
    TCPLOG = "tcplog"
    HTTPLOG = "httplog"


class ChecksumForm(Enum):
    """How the VRRPv3 IPv4 checksum is made: RFC 5798's readers disagree.

    AUTO accepts both and sends what the peer was last heard to send
    (the pseudo-header form until then, as keepalived does).
    """

    AUTO = "auto"
    PSEUDO = "pseudo"
    RFC9568 = "rfc9568"


class InitialState(Enum):
    """keepalived's `state`: what an address owner (priority 255) is when it starts."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"


class CheckKind(Enum):
    ICMP = "icmp"
    TCP = "tcp"
    HTTP = "http"


@attrs.frozen
class Log:
    """One place where log lines go."""

    target: str
    """`stdout`, `stderr`, the path of a datagram socket, or `host:port` for UDP syslog."""
    facility: str = "local0"
    level: str = "info"
    """The least severe level that is sent there (syslog's names)."""


@attrs.frozen
class Node:
    name: str
    log: tuple[Log, ...] = ()
    maxconn: int = 2000
    """Client connections in the process; beyond it nothing is accepted, nothing is refused."""
    user: str | None = None
    group: str | None = None
    chroot: str | None = None
    pidfile: str | None = None
    hard_stop_after: float = 30.0
    """Seconds that a graceful stop waits for sessions to end."""
    guard_timeout: float | None = None
    """Seconds without a heartbeat after which the guard takes the VIPs away from a frozen process.

    None: twice the shortest advert interval, within 0.1..1.
    """
    script_user: str | None = None
    """Account that scripts run as; None: `user`, or else an unprivileged one, never root."""
    notify_fifo: str | None = None
    """Path of a FIFO that gets a line for each transition, in keepalived's format."""
    event_log: str | None = None
    """`stdout`, `syslog` (the targets of `log`), or the path of a file: one JSON object a line."""


@attrs.frozen
class Api:
    socket: str | None = None
    """Path of the runtime socket."""
    listen: tuple[str, int] | None = None
    """Host and port of the metrics listener."""


@attrs.frozen
class Email:
    """How mail about what happens is sent."""

    smtp_server: tuple[str, int]
    """Host and port; the host may be a name."""
    sender: str
    recipients: tuple[str, ...]
    helo_name: str | None = None
    """What we call ourselves to the server; None: this host's full name."""
    timeout: float = 30.0
    """Seconds for connecting, and for each answer."""
    smtp_alert_checker: bool = False
    """Also when a server goes up or down."""


@attrs.frozen
class Track:
    """Something that a router watches, and what that means for its priority."""

    kind: str
    """`backend`, `interface`, `script`, `file`, `process`, `ping` or `route`."""
    name: str
    least: int = 1
    """Usable servers that a backend must have."""
    weight: int | None = None
    """Added to the priority: a positive one while it is well, a negative one while it fails.

    0: FAULT while it fails.  None: the router yields while it fails, at priority 1.
    """
    reverse: bool = False
    """The weight counts with the other sign; with weight 0: FAULT while it is well."""


@attrs.frozen
class TrackScript:
    """A program that tells by its exit code whether all is well."""

    name: str
    script: tuple[str, ...]
    """Words of the command; run as `node.script_user`."""
    interval: float = 1.0
    """Seconds between the end of one run and the next."""
    timeout: float | None = None
    """Seconds for one run; None: `interval`."""
    rise: int = 1
    fall: int = 1


@attrs.frozen
class TrackPing:
    """An address that must answer ICMP echo, such as the gateway."""

    name: str
    address: IPAddress
    interval: float = 1.0
    timeout: float | None = None
    """Seconds for an answer; None: `interval`."""
    rise: int = 2
    fall: int = 3


@attrs.frozen
class TrackFile:
    """A file with one number, which is multiplied by the track's weight (keepalived's track_file)."""

    name: str
    file: str
    interval: float = 1.0
    """Seconds between two looks at it."""


@attrs.frozen
class TrackProcess:
    """Processes of one name, of which `quorum` must run."""

    name: str
    process: str
    """As in /proc/PID/comm."""
    quorum: int = 1
    interval: float = 1.0


@attrs.frozen
class TrackRoute:
    """A route that must be in the main table, by any gateway and interface that are not named."""

    name: str
    destination: IPNetwork
    via: IPAddress | None = None
    dev: str | None = None
    interval: float = 1.0


Tracker = TrackScript | TrackPing | TrackFile | TrackProcess | TrackRoute


@attrs.frozen
class VirtualRoute:
    """A route that is here while its router is MASTER."""

    destination: IPNetwork
    via: IPAddress | None = None
    dev: str | None = None
    """None: the router's own interface."""
    src: IPAddress | None = None
    metric: int = 0
    table: int = 254


@attrs.frozen
class VirtualRule:
    """A routing rule that is here while its router is MASTER."""

    table: int
    priority: int
    source: IPNetwork | None = None
    to: IPNetwork | None = None
    """One of both at least."""

    @property
    def family(self) -> int:
        """4 or 6."""
        network = self.source or self.to
        return network.version if network is not None else 4


@attrs.frozen
class VrrpInstance:
    name: str
    interface: str
    virtual_router_id: int
    addresses: tuple[IPInterface, ...]
    """Of one family; the first of IPv6 is link-local (RFC 9568 section 5.2.9)."""
    excluded_addresses: tuple[IPInterface, ...] = ()
    """Held like the others, of either family, but not advertised."""
    virtual_routes: tuple[VirtualRoute, ...] = ()
    virtual_rules: tuple[VirtualRule, ...] = ()
    priority: int = 100
    """1..255; 255 is the address owner."""
    version: int = 3
    """2 (RFC 3768) or 3 (RFC 9568)."""
    auth_pass: str | None = attrs.field(default=None, repr=False)
    """1..8 octets, version 2 only; None for no authentication."""
    advert_interval: float = 1.0
    """Seconds, 0.01..40.95; whole seconds in version 2."""
    state: InitialState | None = None
    """None: as the RFC says, the address owner starts as MASTER and everybody else as BACKUP."""
    startup_delay: float = 0.0
    """Seconds after the start before it takes part."""
    down_timer_adverts: int = 3
    """Adverts that may be missing before the master is taken for dead."""
    preempt: bool = True
    preempt_delay: float = 0.0
    """Seconds to wait after start before a lower-priority MASTER is preempted."""
    source_address: IPAddress | None = None
    """Source of adverts; by default the interface's first address (IPv6: link-local) that is not a VIP."""
    unicast_peers: tuple[IPAddress, ...] = ()
    """Adverts go to each of these, and what comes to our own address must come from them."""
    multicast: bool | None = None
    """224.0.0.18 or ff02::12, beside the peers; None: when there are no peers."""
    checksum: ChecksumForm = ChecksumForm.AUTO
    garp_count: int = 5
    """Gratuitous ARPs for each address in a burst."""
    garp_delay: float = 5.0
    """Seconds until the burst is repeated once; 0 for never."""
    garp_refresh: float = 10.0
    """Seconds between announcements while MASTER; 0 for never."""
    garp_refresh_repeat: int = 1
    """Gratuitous ARPs for each address in such an announcement."""
    garp_lower_prio_repeat: int | None = None
    """Gratuitous ARPs for each address when a MASTER of lower priority was heard; None: `garp_count`."""
    garp_lower_prio_delay: float | None = None
    """Seconds until those are repeated once more, 0 for never; None: `garp_delay`."""
    garp_interval: float = 0.0
    """Seconds between two gratuitous ARPs, 0 for none."""
    gna_interval: float = 0.0
    """Seconds between two unsolicited neighbour advertisements, 0 for none."""
    promote_secondaries: bool = False
    """Keep the other addresses of a subnet when the VIP that is its primary goes (Linux sysctl)."""
    track: tuple[Track, ...] = ()
    notify: tuple[str, ...] = ()
    """Words of a command for every transition; it is given more (see `hapair.notify.notices`)."""
    notify_master: tuple[str, ...] = ()
    notify_backup: tuple[str, ...] = ()
    notify_fault: tuple[str, ...] = ()
    notify_stop: tuple[str, ...] = ()
    notify_timeout: float = 10.0
    """Seconds after which one of these commands is killed."""
    smtp_alert: bool = False
    """Send mail for every transition."""

    @property
    def held(self) -> tuple[IPInterface, ...]:
        """Every address that is here while this router is MASTER: what the rest of the house calls VIPs."""
        return self.addresses + self.excluded_addresses

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.addresses[0].version

    @property
    def multicasts(self) -> bool:
        """Whether adverts go to, and come from, the group of its family."""
        return not self.unicast_peers if self.multicast is None else self.multicast


@attrs.frozen
class SyncGroup:
    """Virtual routers that are MASTER together or not at all."""

    name: str
    instances: tuple[str, ...]
    notify: tuple[str, ...] = ()
    """As an instance's, for what all of them have entered."""
    notify_master: tuple[str, ...] = ()
    notify_backup: tuple[str, ...] = ()
    notify_fault: tuple[str, ...] = ()
    notify_stop: tuple[str, ...] = ()
    notify_timeout: float = 10.0
    smtp_alert: bool = False


@attrs.frozen
class Timeouts:
    """Seconds; `inf` where unset."""

    http_request: float = inf
    connect: float = inf
    client: float = inf
    server: float = inf
    http_keep_alive: float = inf
    check: float = inf
    queue: float = inf


@attrs.frozen
class Bind:
    """One listening socket.  Exactly one of `port`, `path` and `fd` is set."""

    text: str
    """As it was written, for messages."""
    host: IPAddress | None = None
    """None with `port` set: every IPv4 address."""
    port: int | None = None
    path: str | None = None
    fd: int | None = None


@attrs.frozen
class UseBackend:
    backend: str
    condition: str | None = None
    """An ACL condition in HAProxy's words; None for always."""


@attrs.frozen
class ForwardFor:
    exceptions: tuple[IPNetwork, ...] = ()
    """Clients for which no X-Forwarded-For is added."""
    header: str = "X-Forwarded-For"
    if_none: bool = False


@attrs.frozen
class Stats:
    uri: str = "/haproxy?stats"
    auth: tuple[tuple[str, str], ...] = ()
    """User and password pairs; empty for none asked."""


@attrs.frozen
class Frontend:
    name: str
    bind: tuple[Bind, ...]
    mode: Mode = Mode.TCP
    maxconn: int = 2000
    timeout: Timeouts = Timeouts()
    log_format: LogFormat | None = None
    """None: nothing is logged for this frontend."""
    forwardfor: ForwardFor | None = None
    http_server_close: bool = False
    dontlognull: bool = False
    acl: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Name -> expressions; several OR together."""
    use_backend: tuple[UseBackend, ...] = ()
    default_backend: str | None = None
    stats: Stats | None = None


class CookieMode(Enum):
    INSERT = "insert"
    PASSIVE = "passive"
    """`cookie NAME` alone: match what the server sets, insert nothing."""


@attrs.frozen
class Cookie:
    name: str
    mode: CookieMode = CookieMode.PASSIVE
    indirect: bool = False
    nocache: bool = False
    httponly: bool = False
    secure: bool = False
    domain: str | None = None


@attrs.frozen
class HttpCheck:
    """What a layer-7 check sends and expects (2xx and 3xx pass)."""

    method: str = "OPTIONS"
    uri: str = "/"
    version: str = "HTTP/1.0"
    headers: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Check:
    kind: CheckKind = CheckKind.TCP
    http: HttpCheck | None = None
    """Set when `kind` is HTTP."""
    address: str | None = None
    """Where to probe, when it is not the server's own address."""
    port: int | None = None
    inter: float = 2.0
    fastinter: float | None = None
    """Interval in transitions and before the first check; None: `inter`."""
    downinter: float | None = None
    """Interval while DOWN; None: `inter`."""
    rise: int = 2
    fall: int = 3


@attrs.frozen
class Server:
    name: str
    id: int
    """Position in the backend from 1, unless configured."""
    host: str
    """An IP address or a name, resolved once at start; or a path starting with `/`."""
    port: int
    weight: int = 1
    """0..256; 0 serves only persistent sessions."""
    cookie: str | None = None
    maxconn: int = 0
    """Concurrent requests (HTTP) or connections (TCP); 0 for no limit.  Beyond it requests queue."""
    maxqueue: int = 0
    backup: bool = False
    disabled: bool = False
    check: Check | None = None


@attrs.frozen
class Backend:
    name: str
    servers: tuple[Server, ...] = ()
    mode: Mode = Mode.TCP
    balance: str = "roundrobin"
    timeout: Timeouts = Timeouts()
    retries: int = 3
    redispatch: bool = False
    abortonclose: bool = False
    http_server_close: bool = False
    forwardfor: ForwardFor | None = None
    cookie: Cookie | None = None


@attrs.frozen
class NodeConfig:
    node: Node
    api: Api = Api()
    email: Email | None = None
    vrrp: Mapping[str, VrrpInstance] = attrs.field(factory=dict)
    frontends: Mapping[str, Frontend] = attrs.field(factory=dict)
    backends: Mapping[str, Backend] = attrs.field(factory=dict)
    sync_groups: Mapping[str, SyncGroup] = attrs.field(factory=dict)
    trackers: Mapping[tuple[str, str], Tracker] = attrs.field(factory=dict)
    """(kind, name) -> what `track = ["KIND.NAME"]` means."""
