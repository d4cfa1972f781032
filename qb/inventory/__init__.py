"""The fleet as an Ansible inventory, and the other way round: files that say which nodes there shall be."""
