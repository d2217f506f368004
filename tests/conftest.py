"""Table of contents: every fixture, option and marker lives in one of these plugins."""

pytest_plugins = [
    "pytester",  # pytest's own, to test the plugins
    "tests.plugins.loops",  # async tests: runner, --loop
    "tests.plugins.properties",  # settings of Hypothesis
    "tests.plugins.postgresql",  # pg_server, pg_dsn, pg_database, own_server, proxy
    "tests.plugins.browser",  # browser, page
    "tests.plugins.engines",  # engine, backend, open_pool, marker feature
]
