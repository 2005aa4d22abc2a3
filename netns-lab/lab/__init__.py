"""The two-node lab: real processes in network namespaces, broken on purpose and watched from outside.

    namespaces   enter, create, leave; root is not needed
    init         PID 1 of a machine (a program of its own)
    processes    machines, and the processes that run in them
    topology     the switch, the links, the addresses; `open_lab`
    nodes        a load balancer: hapair, or keepalived with HAProxy
    backends     the HTTP servers behind it (a program of its own)
    hostile_backend  one whose checks pass, and that resets everything else (a program of its own)
    bodies       bodies whose checksum is known without reading them
    probe        a fresh connection every 2 ms (a program of its own)
    stream_probe long downloads and uploads of known bytes (a program of its own)
    probers      who is asked what: requests, VIP holders, ARP
    faults       what we do to a node, and how it is undone
    disturbances what happens and is over by itself: on the wire, to addresses, links, processes, servers
    floods       twenty sources ask one node, and one of them is honest
    sequences    disturbances one upon the other, by a seed
    cgroups      the kernel's freezer
    audit        what a pair at peace must look like
    forgery      adverts of strangers
    verdicts     gap, two holders, takeover: pure arithmetic over what was recorded
    scenario     start a pair, break it, measure, hand back
    watch        do something to a pair, wait until it has healed, hold it against what is promised
    records      what is kept of that (pure)
    timeline     one of them as a drawing; `page`: all of them as a page (pure)
    report       tables

Nothing here has a name on the host: namespaces live as long as the program, and a SIGKILL of the
program takes every machine with it.
"""
