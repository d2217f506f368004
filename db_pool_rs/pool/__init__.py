"""The front of all engines: the pool as its users see it, sessions, cursors, COPY, LISTEN.

An engine gives the pool its executor, which serves statements and lends connections.
"""
