"""The only home of netlink, raw sockets and frame building."""
