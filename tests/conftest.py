"""Table of contents: every fixture, option and marker lives in one of these plugins."""

pytest_plugins = [
    "pytester",
    "tests.plugins.loops",
    "tests.plugins.postgresql",
]
