"""The sockets of the data plane: one batched epoll loop under one trio task."""
