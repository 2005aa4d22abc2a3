"""node.toml: positions, values, cross-checks."""
