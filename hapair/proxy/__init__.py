"""The pure machines of the data plane: sessions, backends, queues, pools."""
