"""From the rows of `catalog.sql` to names: everything through which a text reaches something that can notice company.

The rows are a graph. A search from what notices by itself, against the direction of use, finds what reaches it; the
way back is the reason. A thing may be reached by every statement that names it, or only by those that write: a SELECT
fires no trigger. Functions are also connected by the names in their bodies, which the server does not keep track of.

The same search from the VOLATILE functions finds what makes a WRITE of a SELECT; from what may leave something on its
session, the texts after which that is reset; and from deferred keys, the texts for which they are checked at once.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..sql.names import EVERY
from .words import HARMLESS, is_passing, read_body

#: The node that stands for keys that are checked at the end of the transaction (rule 8.3).
KEYS = "keys"
#: A reason shows no more of the way than this.
_MOST_STEPS = 12
_KINDS = {"f": "function {}()", "r": "{}", "t": "type {}", "o": "operator {}"}
_ON_WRITE = {"INSERT": "INSERT INTO ", "DELETE": "DELETE FROM ", "UPDATE": "UPDATE ", "MERGE": "MERGE INTO "}


class _Edge(NamedTuple):
    node: str
    via: str | None
    writing: bool


@dataclass(slots=True)
class _Function:
    """What its row and its body tell."""

    names: frozenset[str] = frozenset()
    reason: str | None = None
    writes: bool = False
    lasts: bool = False
    volatile: bool = False
    is_trigger: bool = False
    body: str = ""


class _Step(NamedTuple):
    """How a node reaches what notices: by way of another node, or (None) by itself. `last` is what notices."""

    via: str | None
    to: tuple[str, bool] | None
    last: str


@dataclass(frozen=True, slots=True)
class Findings:
    """The guard's names. `reading` holds those that matter to every text, `writing` those that matter to texts that
    write; each with its reason. `volatile` are the names that make a WRITE of a SELECT."""

    reading: Mapping[str, str] = field(default_factory=dict)
    writing: Mapping[str, str] = field(default_factory=dict)
    volatile: frozenset[str] = frozenset()
    #: Operators among the names: they are looked for as they are written.
    operators: frozenset[str] = frozenset()
    #: Names through which something may be left on the session: by every text, and by texts that write.
    lasting: frozenset[str] = frozenset()
    lasting_writing: frozenset[str] = frozenset()
    #: Names through which a text that writes reaches keys that are checked at the end of the transaction (rule 8.3).
    deferred_keys: frozenset[str] = frozenset()

    def is_write(self, names: frozenset[str]) -> bool:
        """Whether a SELECT with these names may call a VOLATILE function of the user's."""
        return not self.volatile.isdisjoint(names)

    def lasts(self, names: frozenset[str], writes: bool) -> bool:
        """Whether a text with these names may leave something on its session."""
        names = names | {EVERY}
        return not (self.lasting.isdisjoint(names) and (not writes or self.lasting_writing.isdisjoint(names)))

    def reaches_keys(self, names: frozenset[str]) -> bool:
        """Whether a text that writes, with these names, may reach deferred keys."""
        return not self.deferred_keys.isdisjoint(names | {EVERY})

    def reason(self, names: frozenset[str], command: str, writes: bool) -> str | None:
        """Why a text with these names must run alone; None if it need not."""
        found = [name for name in names | {EVERY} if name in self.reading]
        if found:
            return self.reading[min(found)]
        found = [name for name in names if name in self.writing] if writes else []
        return f"{_ON_WRITE.get(command, '')}{self.writing[min(found)]}" if found else None


def findings(rows: Iterable[Sequence[Any]], shared_functions: frozenset[str] = frozenset()) -> Findings:
    """What the rows of the catalogue query say. Functions named in `shared_functions` count as harmless."""
    graph = _Graph(shared_functions)
    for row in rows:
        graph.add(*row)
    return graph.findings()


class _Graph:
    """The rows, and the search on them."""

    def __init__(self, shared: frozenset[str]) -> None:
        self._shared = frozenset(name.rpartition(".")[2].strip('"') for name in shared)
        self._names: dict[str, str] = {EVERY: EVERY}
        self._edges: dict[str, list[_Edge]] = defaultdict(list)
        self._seeds: list[tuple[_Edge, str | None]] = []
        self._functions: dict[str, _Function] = {}
        self._mentions: dict[str, list[str]] = defaultdict(list)
        self._deferred: str | None = None

    def add(
        self, used: str | None, node: str, name: str, via: str | None, writing: bool, source: list[Any] | None
    ) -> None:
        """One row."""
        if node == "deferred":
            self._deferred = name
        elif source is not None:
            self._add_function(node, name, *source)
        elif node == EVERY or name is not None:
            self._names.setdefault(node, name or EVERY)
            edge = _Edge(node, via, writing)
            if used is None:
                self._seeds.append((edge, via))
            else:
                self._edges[used].append(edge)

    def _add_function(
        self, node: str, name: str, language: str, volatility: str, trigger: str, writes: str,
        extension: str | None, body: str | None,
    ) -> None:  # fmt: skip
        self._names[node] = name
        if extension in HARMLESS and body is None:
            return
        function = self._functions[node] = _Function(volatile=volatility == "v", is_trigger=trigger == "t")
        if body is None:
            function.reason, function.lasts = f"written in {language}", True
            return
        function.names, function.reason, function.writes, function.lasts = read_body(body)
        function.writes = function.writes or writes == "t"
        function.body = body

    def findings(self) -> Findings:
        """Search."""
        self._index_mentions()
        reached = self._search(self._all_seeds())
        begin = [node for node, one in self._functions.items() if self._is_volatile(node, one)]
        volatile = self._search([(node, False, _Step(None, None, "")) for node in begin])
        reading, writing = dict[str, str](), dict[str, str]()
        for node, on_write in sorted(reached):
            if not self._is_named(node):
                continue
            chain = f"{self._head(node)}: {self._chain(reached, (node, on_write))}"
            (writing if on_write else reading).setdefault(self._names[node], chain)
        lasting, with_keys = self._search(self._lasting_seeds()), self._reaching_keys()
        keys = self._named(with_keys, False) | self._named(with_keys, True)
        if self._deferred == "":
            for name in keys:
                writing.setdefault(name, f"{name}: deferred keys, and plpgsql may not be used")
            keys = frozenset()
        operators = frozenset(self._names[node] for node, _ in (*reached, *volatile, *with_keys) if node[0] == "o")
        return Findings(
            reading, writing, self._named(volatile, False), operators,
            self._named(lasting, False), self._named(lasting, True), keys,
        )  # fmt: skip

    def _named(self, reached: Iterable[tuple[str, bool]], on_write: bool) -> frozenset[str]:
        return frozenset(self._names[node] for node, only in reached if only is on_write and self._is_named(node))

    def _reaching_keys(self) -> set[tuple[str, bool]]:
        """What reaches deferred keys. What functions do that only the user calls harmless is not known."""
        if not self._edges.get(KEYS):
            return set()
        found = set(self._search([(KEYS, True, _Step(None, None, ""))])) - {(KEYS, True)}
        return found | {(EVERY, True)} if self._shared else found

    def _is_volatile(self, node: str, function: _Function) -> bool:
        return function.volatile and not function.is_trigger and self._names[node] not in self._shared

    def _is_named(self, node: str) -> bool:
        """Whether a text can name it: nothing calls a trigger's function but its trigger."""
        function = self._functions.get(node)
        return function is None or not function.is_trigger

    def _head(self, node: str) -> str:
        return f"{self._names[node]}()" if node[0] == "f" else self._names[node]

    def _index_mentions(self) -> None:
        """Which bodies name what."""
        known = {name for node, name in self._names.items() if node[0] != "o"}
        operators = {name for node, name in self._names.items() if node[0] == "o"}
        for node, function in self._functions.items():
            for name in (function.names & known) | {name for name in operators if name in function.body}:
                self._mentions[name].append(node)
            function.body, function.names = "", frozenset()

    def _all_seeds(self) -> list[tuple[str, bool, _Step]]:
        seeds = [(edge.node, edge.writing, _Step(via, None, via or "")) for edge, via in self._seeds]
        for node, function in self._functions.items():
            if function.reason is not None:
                seeds.append((node, False, _Step(None, None, function.reason)))
        return seeds

    def _lasting_seeds(self) -> list[tuple[str, bool, _Step]]:
        begin = [
            (edge.node, edge.writing)
            for edge, via in self._seeds
            if not all(map(is_passing, (via or "").rpartition(": ")[2].split(", ")))
        ]
        begin += [(node, False) for node, function in self._functions.items() if function.lasts]
        return [(*one, _Step(None, None, "")) for one in begin]

    def _search(self, seeds: Iterable[tuple[str, bool, _Step]]) -> dict[tuple[str, bool], _Step]:
        reached: dict[tuple[str, bool], _Step] = {}
        todo: deque[tuple[str, bool]] = deque()

        def reach(node: str, on_write: bool, step: _Step) -> None:
            if (node, on_write) not in reached and not (node[0] == "f" and self._names.get(node) in self._shared):
                reached[node, on_write] = step
                todo.append((node, on_write))

        for seed in seeds:
            reach(*seed)
        while todo:
            at = node, on_write = todo.popleft()
            for edge in self._edges.get(node, ()):
                if edge.node[0] == "f":
                    self._reach_function(edge.node, at, reached[at].last, reach)
                else:
                    reach(edge.node, on_write or edge.writing, _Step(edge.via, at, reached[at].last))
            for function in self._mentions.get(self._names.get(node, ""), ()):
                if function != node:
                    self._reach_function(function, at, reached[at].last, reach)
        return reached

    def _reach_function(self, node: str, at: tuple[str, bool], last: str, reach: Any) -> None:
        """A function reaches what matters to writers only if it may write itself."""
        function = self._functions.get(node)
        if not at[1] or function is None or function.writes:
            reach(node, False, _Step(None, at, last))

    def _chain(self, reached: Mapping[tuple[str, bool], _Step], at: tuple[str, bool]) -> str:
        parts: list[str] = []
        while (step := reached[at]).to is not None and len(parts) < _MOST_STEPS:
            at = step.to
            parts += [step.via] if step.via else []
            parts.append(_KINDS[at[0][0]].format(self._names.get(at[0], at[0])))
        parts += ["..."] if step.to is not None else []
        return ": ".join(filter(None, (" -> ".join(parts), step.last)))
