"""VRRP: who owns the virtual addresses (RFC 9568)."""
