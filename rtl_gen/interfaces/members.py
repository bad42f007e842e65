# SPDX-License-Identifier: Apache-2.0
"""The members of an interface by name, for units that treat all of them alike."""

from __future__ import annotations

from typing import Any

__all__ = ["members"]


def members(interface: Any) -> dict[str, Any]:
    """Members of an interface, in the order of its signature: {name: signal, interface, or tuple of
    them}.
    """
    return {name: getattr(interface, name) for name in interface.signature.members}
