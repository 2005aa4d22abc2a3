"""What node.toml means, as frozen values: the leaf that every room may import.

Everything is resolved here: [defaults] are merged into frontends and backends,
environment variables expanded, durations are seconds (`inf` where unset),
names refer to things that exist.  How these values are spelled and what range
they may have is `config.fields`' business.

Longer than most files: it is the list of all that can be configured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from math import inf

import attrs

from hapair.config.asks import AgentCheck, Ask, Expect, Tls

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network


class Mode(Enum):
    TCP = "tcp"
    HTTP = "http"


class LogFormat(Enum):
    TCPLOG = "tcplog"
    HTTPLOG = "httplog"
    HTTPSLOG = "httpslog"
    CLF = "clf"
    JSON = "json"


class LogHeader(Enum):
    """What stands before a line (HAProxy's `log ... format`)."""

    LOCAL = "local"
    RFC3164 = "rfc3164"
    RFC5424 = "rfc5424"
    PRIORITY = "priority"
    SHORT = "short"
    TIMED = "timed"
    ISO = "iso"
    RAW = "raw"


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


class InitState(Enum):
    """What a server is before its first check (HAProxy's `init-state`)."""

    FULLY_UP = "fully-up"
    """It takes `fall` failures to be down."""
    UP = "up"
    """The first failure takes it down."""
    DOWN = "down"
    """The first success brings it up."""
    FULLY_DOWN = "fully-down"
    """It takes `rise` successes to be up (keepalived's `alpha` with a `retry`)."""


class OnError(Enum):
    """What follows too many errors of traffic (HAProxy's `on-error`)."""

    FASTINTER = "fastinter"
    """Only the next check comes soon, as with all of them."""
    FAIL_CHECK = "fail-check"
    SUDDEN_DEATH = "sudden-death"
    """A failed check, and the next will be the last."""
    MARK_DOWN = "mark-down"


class CheckKind(Enum):
    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"
    TCP_CHECK = "tcp_check"
    HTTP = "http"
    SSL_HELLO = "ssl_hello"
    SMTP = "smtp"
    DNS = "dns"
    MYSQL = "mysql"
    PGSQL = "pgsql"
    REDIS = "redis"
    LDAP = "ldap"
    FTP = "ftp"
    EXTERNAL = "external"
    FILE = "file"


@attrs.frozen
class Log:
    """One place where log lines go."""

    target: str
    """`stdout`, `stderr`, `file:/path`, a datagram socket's path, or syslog's `[tcp@]host:port`."""
    facility: str = "local0"
    level: str = "info"
    """The least severe level that is sent there (syslog's names)."""
    minlevel: str | None = None
    """What is more severe is sent as this."""
    format: LogHeader | None = None
    """None: `local`, with a host name `rfc3164`; `raw` in files and on standard output."""
    len: int = 8192
    """Bytes of a line at most, with its header."""
    sample: str | None = None
    """`1-3,7:10`: of each ten lines the first three and the seventh; None: every line."""


@attrs.frozen
class Node:
    name: str
    log: tuple[Log, ...] = ()
    log_tag: str = "hapair"
    """What log headers call us."""
    log_send_hostname: str | bool = False
    """What they call this host; true: by its own name."""
    maxconn: int = 2000
    """Client connections in the process; beyond it nothing is accepted, nothing is refused."""
    maxcomprate: int = 0
    """KiB a second that are compressed at most, counted before it; 0: any number."""
    workers: int = 0
    """Processes that serve clients; 0: the one that speaks VRRP does it itself."""
    user: str | None = None
    group: str | None = None
    chroot: str | None = None
    pidfile: str | None = None
    hard_stop_after: float = 30.0
    """Seconds that a graceful stop waits for sessions to end."""
    guard_timeout: float | None = None
    """Seconds without a heartbeat after which the guard takes the VIPs away from a frozen process.

    None: twice the shortest advert interval, within 0.05..1.
    """
    script_user: str | None = None
    """Account that scripts run as; None: `user`, or else an unprivileged one, never root."""
    notify_fifo: str | None = None
    """Path of a FIFO that gets a line for each transition, in keepalived's format."""
    state_file: str | None = None
    """Where the state of servers is kept from one life to the next (HAProxy's server-state-file)."""
    event_log: str | None = None
    """`stdout`, `syslog` (the targets of `log`), or the path of a file: one JSON object a line."""


@attrs.frozen
class Api:
    socket: str | None = None
    """Path of the runtime socket."""
    listen: tuple[str, int] | None = None
    """Host and port of the metrics listener."""


@attrs.frozen
class User:
    """Who may log in."""

    password: str
    """A hash as crypt(3) makes it."""
    insecure: bool = False
    """It is the password itself."""
    groups: tuple[str, ...] = ()


@attrs.frozen
class UserList:
    """Users and groups, for rules that ask who somebody is."""

    users: Mapping[str, User] = attrs.field(factory=dict)
    groups: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Group -> users that it names itself."""


@attrs.frozen
class Peers:
    """The other node of the pair, with which stick tables are shared."""

    listen: tuple[str, int]
    """Address and port of our own."""
    peer: tuple[str, int]
    """The same of the other node: nobody else is listened to."""


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
    """`backend`, `frontend`, `interface`, `script`, `file`, `process`, `ping` or `route`."""
    name: str
    least: int = 1
    """Usable servers that a backend, or each that a frontend uses, must have."""
    weight: int | None = None
    """Added to the priority: a positive one while it is well, a negative one while it fails.

    0: FAULT while it fails.  None: the router yields while it fails, at priority 1.
    """
    reverse: bool = False
    """The weight counts with the other sign; with weight 0: FAULT while it is well."""
    backends: tuple[str, ...] = ()
    """Those that a tracked frontend uses."""

    @property
    def watched_backends(self) -> tuple[str, ...]:
        """Whose servers are counted."""
        return (self.name,) if self.kind == "backend" else self.backends


@attrs.frozen
class TrackScript:
    """A program that tells by its exit code whether all is well."""

    name: str
    script: tuple[str, ...]
    """Words of the command."""
    user: str | None = None
    """Account that it is run as; None: as all scripts."""
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


class Scope(Enum):
    """How far an address reaches (ip-address(8))."""

    GLOBAL = "global"
    SITE = "site"
    LINK = "link"
    HOST = "host"


@attrs.frozen
class Vip:
    """An address that VRRP moves, and where it is put."""

    address: IPInterface
    dev: str | None = None
    """None: the interface of its router."""
    scope: Scope | None = None
    """IPv4 only, where None is global; that of an IPv6 address is in the address."""
    label: str | None = None
    """IPv4 only."""

    @property
    def ip(self) -> IPAddress:
        return self.address.ip

    @property
    def network(self) -> IPNetwork:
        return self.address.network

    @property
    def version(self) -> int:
        return self.address.version

    def __str__(self) -> str:
        return str(self.address)


def vips(addresses: Iterable[IPInterface | Vip]) -> tuple[Vip, ...]:
    """Mere addresses are VIPs with nothing special."""
    return tuple(one if isinstance(one, Vip) else Vip(one) for one in addresses)


@attrs.frozen
class VrrpInstance:
    name: str
    interface: str
    virtual_router_id: int
    addresses: tuple[Vip, ...] = attrs.field(converter=vips)
    """Of one family; the first of IPv6 is link-local (RFC 9568 section 5.2.9)."""
    excluded_addresses: tuple[Vip, ...] = attrs.field(default=(), converter=vips)
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
    skew: bool = True
    """False: take over without the skew time when the master resigns, as the only router that can."""
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
    use_vmac: bool = False
    """The VIPs live on a macvlan with the virtual router's own MAC (RFC 9568 section 7.3)."""
    vmac_interface: str | None = None
    """Name of that interface; None: `vrrp.VRID`, and `vrrp6.VRID` for IPv6."""
    vmac_xmit_base: bool = False
    """Multicast adverts come from the MAC of `interface`, not from the virtual one."""
    accept: bool = True
    """Take packets that come to the VIPs (Accept_Mode, RFC 9568 section 6.1)."""
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
    def held(self) -> tuple[Vip, ...]:
        """Every address that is here while this router is MASTER: what the rest of the house calls VIPs."""
        return self.addresses + self.excluded_addresses

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.addresses[0].version

    @property
    def vip_interface(self) -> str:
        """Where VIPs are that name no device."""
        if not self.use_vmac:
            return self.interface
        return self.vmac_interface or f"vrrp{'6' if self.family == 6 else ''}.{self.virtual_router_id}"

    def home(self, vip: Vip) -> str:
        """Name of the interface where a VIP of ours belongs."""
        return vip.dev or self.vip_interface

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
class HttpLimits:
    """How large a request's head may be; beyond it is 414 for its first line and 431 for the rest."""

    request_line: int | None = None
    """Bytes; None: as the head."""
    head: int = 15360
    """Bytes, its first line among them; as HAProxy's tune.bufsize less tune.maxrewrite."""
    headers: int = 100
    """Header lines; HAProxy's tune.http.maxhdr less one."""


@attrs.frozen
class Timeouts:
    """Seconds; `inf` where unset."""

    http_request: float = inf
    connect: float = inf
    client: float = inf
    server: float = inf
    http_keep_alive: float = inf
    check: float = inf
    tarpit: float = inf
    """How long a tarpitted client waits for its answer."""
    queue: float = inf
    tunnel: float = inf
    """Silence of either side in a tunnel or a stream, in place of `client` and `server`."""
    client_fin: float = inf
    """Silence of a client that was told that nothing more comes."""
    server_fin: float = inf
    """Silence of a server that was told that nothing more comes."""


@attrs.frozen
class Source:
    """Where connections to a server come from (HAProxy's `source`)."""

    text: str
    """As it was written."""
    address: IPAddress | None = None
    """Of this node; None: the kernel's choice."""
    ports: tuple[int, int] | None = None
    """The lowest and the highest that may be used; None: the kernel's choice."""
    usesrc: str = ""
    """`client`, `clientip` or `hdr_ip`: whose address they seem to come from; empty: `address`."""
    header: str = ""
    """Of `hdr_ip`, lower case."""
    occurrence: int = -1
    """Which of its values counts, from 1, or from -1 backwards."""


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
    accept_proxy: tuple[IPNetwork, ...] | None = None
    """Connections from there begin with a PROXY header, from everywhere if empty; None: none does."""
    transparent: bool = False
    """Connections to addresses that belong to others are taken, too."""

    def expects_proxy(self, source: str) -> bool:
        """Must a connection from this address ("unix" for a socket's) begin with a PROXY header?"""
        if not self.accept_proxy:
            return self.accept_proxy is not None
        try:
            address = ip_address(source.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self.accept_proxy)


ERROR_STATUSES = (
    200,
    400,
    401,
    403,
    404,
    405,
    407,
    408,
    410,
    413,
    421,
    422,
    425,
    429,
    500,
    501,
    502,
    503,
    504,
)
"""Of answers that hapair makes itself and that a page can be given for."""


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
class OriginalTo:
    exceptions: tuple[IPNetwork, ...] = ()
    """Addresses of ours for which no X-Original-To is added."""
    header: str = "X-Original-To"


class Algo(Enum):
    """A way to compress (HAProxy's `compression algo`)."""

    IDENTITY = "identity"
    """Not at all, but framed as if: for tests."""
    GZIP = "gzip"
    DEFLATE = "deflate"
    RAW_DEFLATE = "raw-deflate"
    """Deflate without zlib's wrapping, which is what some old browsers mean by it."""
    BR = "br"
    ZSTD = "zstd"


@attrs.frozen
class Compression:
    algo: tuple[Algo, ...] = ()
    """The first is preferred among those that a client wants equally."""
    type: tuple[str, ...] = ()
    """How the Content-Type of what is compressed begins; empty for any."""
    offload: bool = False
    """Servers are not asked for a coding."""


@attrs.frozen
class Cache:
    """Responses kept in memory."""

    total_max_size: int
    """Megabytes, of each process that serves."""
    max_object_size: int = 0
    """Bytes of one response; 0 for a 256th of the whole."""
    max_age: float = 60.0
    """Seconds after which nothing is given again, whatever its server allows."""
    process_vary: bool = False
    """Keep what varies on Accept-Encoding or Referer, too."""
    max_secondary_entries: int = 10
    """Variants of one URI."""


class Forwarded(Enum):
    """What a Forwarded header tells (RFC 7239)."""

    PROTO = "proto"
    HOST = "host"
    BY = "by"
    BY_PORT = "by_port"
    FOR = "for"
    FOR_PORT = "for_port"


class ProxyVersion(Enum):
    """Of the PROXY protocol."""

    V1 = "v1"
    V2 = "v2"


@attrs.frozen
class Stats:
    uri: str = "/haproxy?stats"
    auth: tuple[tuple[str, str], ...] = ()
    """User and password pairs; empty for none asked."""


@attrs.frozen
class CapturedHeader:
    """A header that log lines show."""

    name: str
    len: int = 128
    """Bytes of its value at most."""


@attrs.frozen
class CapturedCookie:
    """A cookie that log lines show, of the client and of the server."""

    name: str
    """How it begins; with a `=` at the end it is the whole name."""
    len: int = 128
    """Bytes of `name=value` at most."""


@attrs.frozen
class Captures:
    request_headers: tuple[CapturedHeader, ...] = ()
    response_headers: tuple[CapturedHeader, ...] = ()
    cookie: CapturedCookie | None = None


@attrs.frozen
class Frontend:
    name: str
    bind: tuple[Bind, ...]
    mode: Mode = Mode.TCP
    maxconn: int = 2000
    timeout: Timeouts = Timeouts()
    log_format: LogFormat | str | None = None
    """A text has HAProxy's variables; None: nothing is logged for this frontend."""
    capture: Captures | None = None
    unique_id_format: str | None = None
    """What each request's own number is made of, in the words of a log format."""
    unique_id_header: str | None = None
    """A header that tells it to the server."""
    forwardfor: ForwardFor | None = None
    originalto: OriginalTo | None = None
    compression: Compression | None = None
    http_server_close: bool = False
    httpclose: bool = False
    """Close both connections after each response."""
    http_buffer_request: bool = False
    """Wait for the whole body, or 16 KiB of it, before a server is chosen."""
    http_limits: HttpLimits = HttpLimits()
    http_body_min_rate: int = 500
    """Bytes each second that a request body must bring, after 20 s; 0 for any."""
    log_format_sd: str | None = None
    """Structured data of each line for log targets of RFC 5424."""
    dontlognull: bool = False
    """Nothing is logged about clients that sent nothing."""
    dontlog_normal: bool = False
    """... nor about what went well: no error, no retry, no status from 500 on."""
    logasap: bool = False
    """A line is written when the response begins (a stream: when the server is connected), not at the end."""
    log_tag: str | None = None
    """What the headers of its lines call us; None: as the node's."""
    log_separate_errors: bool = False
    """What did not go well is logged as `err`, not as `info`."""
    rate_limit_sessions: int = 0
    """Connections accepted each second at most, 0 for any number; others wait in the backlog."""
    backlog: int = 4096
    """Connections that the kernel holds for us until we accept them."""
    clitcpka: bool = False
    """The kernel finds out about clients that vanished (TCP keep-alive)."""
    tcp_request_inspect_delay: float = 0.0
    """Seconds that a stream may take to show how it begins before it is routed; 0: not looked at."""
    acl: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Name -> expressions; several OR together."""
    http_request: tuple[str, ...] = ()
    """Rules in HAProxy's words, asked in their order; so are the other lists."""
    http_response: tuple[str, ...] = ()
    http_after_response: tuple[str, ...] = ()
    errorfile: Mapping[str, str] = attrs.field(factory=dict)
    """Status -> the file with a whole response that is sent instead of our own page."""
    http_error: tuple[str, ...] = ()
    """The same in HAProxy's words: `status 503 content-type text/plain string "..."`."""
    tcp_request_connection: tuple[str, ...] = ()
    tcp_request_session: tuple[str, ...] = ()
    tcp_request_content: tuple[str, ...] = ()
    monitor_uri: str | None = None
    """A request for exactly this path is answered with 200, before any rule."""
    monitor_fail: str | None = None
    """A condition under which it is 503."""
    use_backend: tuple[UseBackend, ...] = ()
    default_backend: str | None = None
    stick_table: StickTable | None = None
    stats: Stats | None = None


class HttpReuse(Enum):
    """Whose idle connections a request may be sent on (HAProxy's `http-reuse`)."""

    NEVER = "never"
    """Only this client's own."""
    SAFE = "safe"
    """Any, but for a client's first request, which a browser would not repeat by itself."""
    AGGRESSIVE = "aggressive"
    """That one too, on connections that have been reused before."""
    ALWAYS = "always"


class CookieMode(Enum):
    INSERT = "insert"
    REWRITE = "rewrite"
    """The server sets it, and we put our value in place of its own."""
    PREFIX = "prefix"
    """The server sets it, and our value stands before its own: `A~xyz`."""
    PASSIVE = "passive"
    """`cookie NAME` alone: match what the server sets, insert nothing."""


@attrs.frozen
class Cookie:
    name: str
    mode: CookieMode = CookieMode.PASSIVE
    indirect: bool = False
    nocache: bool = False
    postonly: bool = False
    """Only answers to POST set it."""
    preserve: bool = False
    """A cookie of that name that the server sets is left alone."""
    httponly: bool = False
    secure: bool = False
    domain: tuple[str, ...] = ()
    maxidle: float = 0.0
    """Whole seconds without a visit after which it no longer counts; 0 for any."""
    maxlife: float = 0.0
    """Whole seconds since the first visit after which it no longer counts; 0 for any."""
    dynamic: bool = False
    """A server's value is made of its address and of `dynamic_cookie_key`."""
    attr: tuple[str, ...] = ()
    """More attributes of what we set."""


@attrs.frozen
class HttpCheck:
    """What a layer-7 check sends and expects."""

    method: str = "OPTIONS"
    uri: str = "/"
    version: str = "HTTP/1.0"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    expect: tuple[Expect, ...] = ()
    """All of them; none: 2xx and 3xx pass."""
    digest: str | None = None
    """MD5 of the body, as 32 hexadecimal digits (keepalived's genhash)."""


@attrs.frozen
class Check:
    kind: CheckKind = CheckKind.TCP
    http: HttpCheck | None = None
    """Set when `kind` is HTTP."""
    urls: tuple[HttpCheck, ...] = ()
    """Asked after `http`, each on a connection of its own (keepalived's HTTP_GET)."""
    ask: Ask | None = None
    """What a check of another kind asks, where there is something to say."""
    tls: Tls | None = None
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
    send_proxy: ProxyVersion | None = None
    """Begin each check with a PROXY header that says it is our own."""
    delay_before_retry: float | None = None
    """Seconds from a failure to the next check while UP (keepalived's); None: `fastinter`."""
    warmup: float | None = None
    """Seconds over which first checks are spread (keepalived's); None: the interval."""
    jitter: int = 3
    """Percent of the interval by which a check may come early."""
    init_state: InitState = InitState.UP
    shared: bool = True
    """One probe serves all servers that are checked in the same way."""


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
    minconn: int = 0
    """The same while its backend is idle; it grows to `maxconn` as that fills up to `fullconn`; 0: fixed."""
    maxqueue: int = 0
    backup: bool = False
    slowstart: float = 0.0
    """Seconds in which weight and maxconn grow to their full after it has been down; 0: at once."""
    disabled: bool = False
    pool_max_conn: int = 64
    """Idle connections kept at most."""
    pool_purge_delay: float = 5.0
    """Seconds that an idle connection is kept."""
    max_reuse: int | None = None
    """Requests after its first that one connection serves; None for any number."""
    non_stick: bool = False
    """Stick rules do not remember that it served."""
    send_proxy: ProxyVersion | None = None
    """Begin each connection with a PROXY header that names the client."""
    proxy_v2_options: tuple[str, ...] = ()
    """`crc32c`, `authority`, `unique-id`."""
    source: Source | None = None
    check: Check | None = None
    observe: int | None = None
    """4 or 7: the layer at which traffic tells of its health."""
    error_limit: int = 10
    """Errors in a row that `on_error` follows."""
    on_error: OnError = OnError.FAIL_CHECK
    on_marked_down: str | None = None
    """`shutdown-sessions`: its sessions end when it goes down."""
    on_marked_up: str | None = None
    """`shutdown-backup-sessions`: those of the backups end when it comes back."""
    agent_check: AgentCheck | None = None
    track: str | None = None
    """`backend/server` whose check counts for this server, too."""


@attrs.frozen
class StickTable:
    """What is remembered of clients, by a key."""

    type: str = "ip"
    """`ip`, `ipv6`, `integer`, `string` or `binary`."""
    length: int = 32
    """Bytes of a string or of binary data."""
    size: int = 100 << 10
    """Entries at most."""
    expire: float = 0.0
    """Seconds that an entry is kept after it was used; 0 for as long as there is room."""
    nopurge: bool = False
    """No entry goes before its time to make room."""
    store: tuple[str, ...] = ()
    """What is counted: `conn_cur`, `http_req_rate(10s)`, `gpc(2)`."""


@attrs.frozen
class Balance:
    """How a server is chosen (HAProxy's `balance`)."""

    algorithm: str = "roundrobin"
    name: str = ""
    """Of the header (lower case) or URL parameter that is hashed."""
    expression: str = ""
    """The sample that is hashed."""
    length: int = 0
    """Bytes of the URI that count; 0 for all."""
    depth: int = 0
    """Directories of it; 0 for all."""
    whole: bool = False
    """The query string counts, too."""
    path_only: bool = False
    """Scheme and host of an absolute URI do not count."""
    domain_only: bool = False
    """Of a host name only the label before the last counts."""
    draws: int = 2
    """Servers that are drawn by lot."""


@attrs.frozen
class HashType:
    """How a key leads to a server."""

    consistent: bool = False
    function: str = "sdbm"
    avalanche: bool = False


@attrs.frozen
class UseServer:
    server: str
    condition: str | None = None
    """As in UseBackend."""


@attrs.frozen
class Backend:
    name: str
    servers: tuple[Server, ...] = ()
    mode: Mode = Mode.TCP
    balance: Balance = Balance()
    hash_type: HashType = HashType()
    hash_balance_factor: int = 0
    """Percent of the average load that a server may have; 0 for any."""
    allbackups: bool = False
    """Without active servers all backups serve, not only the first."""
    timeout: Timeouts = Timeouts()
    retries: int = 3
    redispatch: int = 0
    """Each how many retries another server is tried; -N: only N before the last; 0: never."""
    retry_on: tuple[str, ...] = ("conn-failure",)
    """What a request is tried again after: HAProxy's events, and statuses."""
    srvtcpka: bool = False
    """The kernel finds out about servers that vanished (TCP keep-alive)."""
    fullconn: int | None = None
    """Requests at which its servers have their whole `maxconn`; None: no server has `minconn`."""
    abortonclose: bool = False
    http_server_close: bool = False
    httpclose: bool = False
    http_buffer_request: bool = False
    http_reuse: HttpReuse = HttpReuse.SAFE
    forwardfor: ForwardFor | None = None
    originalto: OriginalTo | None = None
    compression: Compression | None = None
    forwarded: tuple[Forwarded, ...] = ()
    """Add a Forwarded header that tells this; empty for none."""
    acl: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    http_request: tuple[str, ...] = ()
    http_response: tuple[str, ...] = ()
    errorfile: Mapping[str, str] = attrs.field(factory=dict)
    """Status -> the file with a whole response that is sent instead of our own page."""
    http_error: tuple[str, ...] = ()
    """The same in HAProxy's words: `status 503 content-type text/plain string "..."`."""
    tcp_response_content: tuple[str, ...] = ()
    """About the first bytes of a server, or its whole head in HTTP mode."""
    use_server: tuple[UseServer, ...] = ()
    stick_table: StickTable | None = None
    stick: tuple[str, ...] = ()
    """Who belongs to which server by a stick table, in HAProxy's words: `on src`."""
    cookie: Cookie | None = None
    dynamic_cookie_key: str | None = None
    """The secret of dynamic cookies; the same on both nodes."""
    persist: bool = False
    """Who belongs to a server that is DOWN is sent there all the same."""
    force_persist: tuple[str, ...] = ()
    """Conditions under which that is so."""
    ignore_persist: tuple[str, ...] = ()
    """Conditions under which cookies do not count; those of `force_persist` come first."""
    quorum: int = 0
    """Weight of live servers that are enough (keepalived's); 0: nobody asks."""
    hysteresis: int = 0
    """So much more gains the quorum, and so much less is tolerated before it is lost."""
    quorum_up: tuple[str, ...] = ()
    quorum_down: tuple[str, ...] = ()
    """Commands for when it is gained and lost."""
    sorry_server: str | None = None
    """Which of the servers stands in for all others while the quorum is not met."""

    @property
    def real_servers(self) -> tuple[Server, ...]:
        """All but the sorry server."""
        return tuple(server for server in self.servers if server.name != self.sorry_server)


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
    stick_tables: Mapping[str, StickTable] = attrs.field(factory=dict)
    """Those that stand by themselves."""
    caches: Mapping[str, Cache] = attrs.field(factory=dict)
    peers: Peers | None = None
    userlists: Mapping[str, UserList] = attrs.field(factory=dict)

    def connects_for_others(self) -> bool:
        """Is a connection to some server made in the name of its client?"""
        return any(
            server.source is not None and server.source.usesrc
            for backend in self.backends.values()
            for server in backend.servers
        )

    def all_stick_tables(self) -> dict[str, StickTable]:
        """Every table by the name that rules call it: its own, or its frontend's or backend's.

        Those that stick rules use store the server, whether that is written or not.
        """
        found = dict(self.stick_tables)
        places: Mapping[str, Frontend | Backend]
        for places in (self.frontends, self.backends):
            for name, place in places.items():
                if place.stick_table is not None:
                    found[name] = place.stick_table
        for backend in self.backends.values():
            for rule in backend.stick:
                words = rule.split()
                at = words.index("table") + 1 if "table" in words else len(words)
                name = words[at] if at < len(words) else backend.name
                table = found.get(name)
                if table is not None and "server_id" not in table.store:
                    found[name] = attrs.evolve(table, store=(*table.store, "server_id"))
        return found
