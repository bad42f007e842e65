# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a board, beside what any device can say."""

from __future__ import annotations

from firmware.device import DeviceTimeout

__all__ = ["BoardBusy", "BoardError", "InterruptLost", "Terminated"]


class BoardError(RuntimeError):
    """The board lacks something that the driver needs, or it is not as it must be; the message says
    what, where it was looked for, and what to do.
    """


class BoardBusy(BoardError):
    """Another process has the device."""


class InterruptLost(DeviceTimeout):
    """The program has ended, and no interrupt came."""


class Terminated(SystemExit):
    """SIGTERM reached a process that has a device open: it ends as after `sys.exit`, so that the
    device is closed on the way.
    """
