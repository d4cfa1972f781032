"""The words on the wire: models, closed enums and the route table. Imports nothing of ours."""
