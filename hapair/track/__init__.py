"""What a router may track besides backends and pings: scripts, files, processes, interfaces."""
