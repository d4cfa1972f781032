"""A whole fleet on one machine: what `qb up` and `qb demo` start, and how podman is made to work for them."""
