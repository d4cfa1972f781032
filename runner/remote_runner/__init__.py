"""The node's own program: takes assignments, runs them in podman containers, reports what came of them."""
