"""Playbooks run through ansible-runner: what happens on each host, as it happens and for the record."""
