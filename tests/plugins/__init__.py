"""Pytest plugins: each owns its fixtures, options and markers."""
