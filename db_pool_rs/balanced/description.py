"""What the server told of a text, with what the kernel needs to send and decode its executions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from db_pool_rs_balanced import ffi

from ..simple.description import Description
from .columns import Plan, is_hot


class KernelDescription(Description):
    """A :class:`~db_pool_rs.simple.description.Description` for the kernel."""

    __slots__ = ("c_formats", "nparams", "plan")

    def __init__(
        self, sql: str, param_oids: Sequence[int], names: Sequence[str], oids: Sequence[int], version: int
    ) -> None:
        super().__init__(sql, param_oids, names, oids, version)
        self.nparams = len(self.param_oids)
        self.c_formats = ffi.new("int[]", self.formats)
        self.plan: Plan | None = None

    def best_format(self) -> int:
        """Binary where the kernel knows every type; else psycopg is asked which of its loaders there are."""
        return 1 if is_hot(self.oids) else super().best_format()

    def plan_for(self, session: Any) -> Plan:
        """How results of this session are decoded."""
        plan = self.plan
        if plan is None or not plan.fits(session):
            plan = self.plan = Plan(self.names, self.oids, self.result_format, session)
        return plan
