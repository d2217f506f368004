"""PostgreSQL over libpq, in pipeline mode."""
