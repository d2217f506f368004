"""The rules by which statements reach the server: a pure state machine, without I/O, clock or randomness of its own.

The law is docs/scheduling.md; mode full has the same rules in Rust.
"""
