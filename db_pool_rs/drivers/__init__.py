"""Connections to databases, below the rules: :mod:`.base` says what the pool needs of a driver."""
