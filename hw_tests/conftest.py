# SPDX-License-Identifier: Apache-2.0
"""Settings of the whole test run."""

from __future__ import annotations

import os

from cosim.cache import lend_tools_a_cache

# Two BLAS threads on two busy cores wait for each other: a prefill of the golden model took 50 times as long.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

lend_tools_a_cache()
