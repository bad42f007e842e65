# SPDX-License-Identifier: Apache-2.0
"""Whom the cache believes.

A simulator is code that is loaded into this process, so whoever can write the cache can run
programs as its user. The rule: nobody may be able to write the cache who could not change MEADOW's
own sources as well. A folder or file is trusted if it belongs to the user who runs, to root or to
the owner of the sources, and if its group and all others may write it only where they may write the
sources. (Most people's files belong to a group of one, and some machines let a group write
everything: that is no more than the sources already allow.) A folder with the sticky bit, such as
    /tmp, is trusted although others may write
it: they can neither replace nor remove what is not theirs.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

__all__ = ["distrust"]

_SOURCES = (Path(__file__).parent, Path(__file__))


def distrust(path: Path) -> str | None:
    """Why `path` is not to be trusted, as a piece of a sentence with the path; None if it is.
    OSError if it is missing.
    """
    found = path.stat()
    sources = [source.stat() for source in _SOURCES]
    if found.st_uid not in {os.geteuid(), 0, *(source.st_uid for source in sources)}:
        return f"{path} belongs to {_user(found.st_uid)}, not to {_user(os.geteuid())}"
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
        return None
    groups = {source.st_gid for source in sources if source.st_mode & stat.S_IWGRP}
    everybody = any(source.st_mode & stat.S_IWOTH for source in sources)
    if found.st_mode & stat.S_IWOTH and not everybody:
        return f"everybody can write {path} (chmod go-w it)"
    if found.st_mode & stat.S_IWGRP and found.st_gid not in groups and not everybody:
        return f"its group can write {path} (chmod g-w it)"
    return None


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"
