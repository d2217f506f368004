"""Programs beside the pool, each run as `python -m db_pool_rs.tools.NAME`; `--help` is its manual.

`benchmark_modes` measures every mode and every rival that is installed, in turn, and reports.
`generate_interfaces` writes what is generated in this project; it needs a checkout.
`verify_migration` asks two modes the same on your database, and moves config.yaml from one to the other.
"""
