"""Who is told when something happens: scripts, a FIFO, people by mail, an event log."""
