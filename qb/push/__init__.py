"""Tasks brought to nodes with an address of their own: the dispatcher, and the transports it uses."""
