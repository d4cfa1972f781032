"""What the dashboard's pages show: named SQL over qb.db, read-only, and the values that their templates are given.

Datasette's part, routes and responses, is in datasette/plugins; nothing here knows of it.
"""
