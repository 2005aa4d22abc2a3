"""hapair: keepalived and HAProxy in one package.

The map of the house (docs/architecture.md has the arrows):

config      node.toml -> frozen values, every mistake with file, line and column
vrrp        who owns the VIP (RFC 9568): a pure election, its wire format, its task
health      probes and rise/fall: which servers are up
track       what routers watch besides servers: scripts, files, processes, routes, interfaces
notify      who is told: scripts, a FIFO, mail, the event log
balance     one balancing algorithm per file
tables      stick tables: what is remembered of clients
http1       HTTP/1.1 heads, framing and bodies, without I/O
rules       ACLs in HAProxy's words, compiled to closures at load
proxy       the pure machines of the data plane: sessions, backends, queues
dataplane   their sockets: one batched epoll loop
kernel      netlink, raw sockets, gratuitous ARP; and a fake kernel for tests
doctor      examines host and segment: facts -> findings with a remedy
app         puts everything together under one nursery
cli         the commands
"""

__version__ = "0.1.0"
