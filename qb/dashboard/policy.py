"""What a page of ours lets a browser load: what the dashboard itself serves, and no text as a script or a style."""

STRICT = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
