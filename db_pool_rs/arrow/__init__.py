"""Results as Arrow: tables that polars, pandas, DuckDB and pyarrow take without a Python object for each value.

PostgreSQL's rows come by COPY in binary, which is the same for every engine: `forms` says what each column is sent and
kept as, a decoder takes the data apart. `python` is the one with pyarrow; `full` has its own in Rust.
"""
