"""SQLite over the standard library, on worker threads."""
