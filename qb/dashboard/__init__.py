"""The dashboard's door: how Datasette is started over a data directory, who may sign in, and what each role may see."""
