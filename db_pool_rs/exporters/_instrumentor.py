"""The entry point of `opentelemetry-instrument`: every pool that a program makes is observed, and it need not know."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from . import set_automatic
from ._telemetry import Telemetry
from .opentelemetry import instrument

__all__ = ["DatabasePoolInstrumentor"]


class DatabasePoolInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """`DatabasePoolInstrumentor().instrument()` has all pools observed that are made from then on.

    `tracer_provider` and `meter_provider`: instead of those that are set globally. `uninstrument()` ends it for pools
    that are made later.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing: this is a part of what it instruments."""
        return ()

    def _instrument(self, tracer_provider: Any = None, meter_provider: Any = None, **kwargs: Any) -> None:
        telemetry = Telemetry(tracer_provider, meter_provider) if tracer_provider or meter_provider else None
        set_automatic(partial(instrument, telemetry=telemetry))

    def _uninstrument(self, **kwargs: Any) -> None:
        set_automatic(None)
