"""One file per kind of probe: what to send, what to expect."""
