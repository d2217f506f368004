"""For the reference (mkdocs.yml): the roles in docstrings, as in :class:`Pool`, become links to what they name.

A name that is not in the reference is shown as code. A role says the full path, or a name that its module knows;
with `~` before it, only its last part is shown.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from griffe import Extension, NameResolutionError, Object

_ROLE = re.compile(r":(?:class|meth|func|mod|data|exc):`(~?)\.*([\w.]+)`")


class DocstringRoles(Extension):
    """Rewrites each docstring when its object has been read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """A module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(lambda role: _link(obj, role), obj.docstring.value)


def _link(where: Object, role: re.Match[str]) -> str:
    path = shown = role[2]
    with suppress(NameResolutionError):
        path = where.resolve(path)
    if role[1]:
        shown = shown.rpartition(".")[2]
    return f'<autoref identifier="{path}" optional><code>{shown}</code></autoref>'
