"""What others read of a pool; none of it is imported, or costs anything, unless it is asked for.

    prometheus      a collector for prometheus_client and a small HTTP endpoint (extra `metrics`)
    opentelemetry   spans and metrics by the semantic conventions for databases (extra `otel`)

Without any extra, `DatabasePool.get_metrics().prometheus()` is the text that Prometheus scrapes.
"""
