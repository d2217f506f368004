"""The rules by which statements reach the server: a pure state machine, without I/O, clock or randomness of its own.

The law is docs/scheduling.md; code and tests cite its rules by number. Mode full has the same rules in Rust.
"""
