# SPDX-License-Identifier: Apache-2.0
"""Values of nested structs by the names of their innermost fields, which must differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from amaranth.lib import data

__all__ = ["leaves", "nested"]


def nested(layout: data.StructLayout, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a struct of `layout` is set to; fields that are not named are 0.

    KeyError for a name that no field has.
    """
    unused = set(values)
    result = _nested(layout, values, unused)
    if unused:
        raise KeyError(f"no field is called {sorted(unused)}")
    return result


def _nested(layout: data.StructLayout, values: Mapping[str, Any], unused: set) -> dict[str, Any]:
    result = {}
    for name, shape in layout.members.items():
        if isinstance(shape, data.StructLayout):
            result[name] = _nested(shape, values, unused)
        elif name in values:
            result[name] = values[name]
            unused.discard(name)
    return result


def leaves(value: data.Const) -> dict[str, Any]:
    """The innermost fields of a struct that was read, those of enumerations as their members."""
    found = list(_leaves(value))
    assert len({name for name, _ in found}) == len(found), "two fields have the same name"
    return dict(found)


def _leaves(value: data.Const) -> Iterator[tuple[str, Any]]:
    for name in value.shape().members:
        field = value[name]
        if isinstance(field, data.Const) and isinstance(field.shape(), data.StructLayout):
            yield from _leaves(field)
        else:
            yield name, field
