"""SQL lives here and nowhere else: schema, the single writer, named queries."""
