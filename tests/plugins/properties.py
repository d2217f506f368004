"""Hypothesis: no deadline (the machine is shared), more examples on demand with `--hypothesis-profile=thorough`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("default", max_examples=100, **COMMON)
settings.register_profile("thorough", max_examples=5000, **COMMON)
settings.load_profile("default")
