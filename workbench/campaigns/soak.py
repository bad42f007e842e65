# SPDX-License-Identifier: Apache-2.0
"""`meadow soak`: random models and steps on the simulated chip under random stalls, each compared
with golden. Models are integers drawn at random, or checkpoints on their whole way from files to
the chip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import typer

from cosim.library import SimulationError
from firmware.device import DeviceError, DeviceTimeout
from meadow.compiler.image import compile_image
from meadow.compiler.packing.packing import codec_choices
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.checks import check_least
from meadow.spec.commands import Outputs
from meadow.spec.config import AcceleratorConfig
from meadow.spec.model import ModelDescription
from workbench.bench.step import Check, run_step
from workbench.campaigns.random_checkpoints import (
    CHECKPOINTS,
    RandomCheckpoint,
    draw_checkpoint,
)
from workbench.campaigns.random_models import SOAK_SIZES, draw_architecture, draw_description
from workbench.configurations.chosen import ChosenConfig, config_facts
from workbench.console import EXIT_DIFFERENCE, print_json, say
from workbench.devices import Throttle
from workbench.options import JsonOption, choices, seed_option, takes_config
from workbench.progress import log

__all__ = ["SoakCase", "draw_case", "run_case", "soak_command"]

_ROWS = 160
"""New tokens of a step at most, so that a case takes seconds."""


@dataclass(frozen=True, kw_only=True)
class SoakCase:
    """One random combination: a model of one layer, what is cached, what comes in, and how the DRAM
    behaves. checkpoint: how the model is written and compiled, None for integers as they are drawn.
    """

    description: ModelDescription
    hidden_block: int
    codec: str
    dataflow: str
    positions: tuple[int, ...]
    tokens: tuple[int, ...]
    prefix: tuple[int, ...]
    throttle: Throttle
    seed: int
    checkpoint: RandomCheckpoint | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields, enough to see what was tried."""
        d = self.description
        return {
            "architecture": d.architecture,
            "width": d.width,
            "heads": d.heads,
            "kv_heads": d.kv_heads,
            "head_dim": d.head_dim,
            "hidden": d.hidden,
            "hidden_block": self.hidden_block,
            "causal": d.causal,
            "codec": self.codec,
            "dataflow": self.dataflow,
            "positions": list(self.positions),
            "tokens": list(self.tokens),
            "prefix": list(self.prefix),
            "stalls": self.throttle.stalls,
            "latency_cycles": self.throttle.latency_cycles,
            "bandwidth_gbps": self.throttle.bandwidth_gbps,
            "seed": self.seed,
            "checkpoint": None if self.checkpoint is None else self.checkpoint.to_dict(),
        }


def draw_case(
    random: np.random.Generator,
    config: AcceleratorConfig,
    seed: int,
    *,
    checkpoints: bool = False,
    head_dim: int | None = None,
) -> SoakCase:
    """A random combination that the configuration can hold.

    checkpoints : the model is one of CHECKPOINTS, on its way from files. head_dim : of every model,
    None draws it.
    """
    if checkpoints:
        architecture, tied = str(random.choice(CHECKPOINTS)), bool(random.integers(2))
    else:
        architecture, tied = draw_architecture(random), False
    description = draw_description(
        random, architecture, config, SOAK_SIZES, head_dim=head_dim, tied_head=tied
    )
    case = _draw_step(random, config, seed, description)
    if not checkpoints:
        return case
    checkpoint = draw_checkpoint(random, description)
    # The compiler may find that the opening token is to be the prefix.
    positions = tuple(max(1, position) for position in case.positions)
    ends = (p + t for p, t in zip(positions, case.tokens, strict=True))
    return replace(
        case,
        description=replace(description, max_positions=max(ends)),
        dataflow="tphs",
        positions=positions,
        prefix=(),
        checkpoint=checkpoint,
    )


def _draw_step(
    random: np.random.Generator, config: AcceleratorConfig, seed: int, description: ModelDescription
) -> SoakCase:
    """What is cached, what comes in, and all else."""
    hidden = description.hidden
    blocks = int(random.integers(1, 4))
    count = int(random.integers(1, config.sequences + 1)) if random.random() < 0.5 else 1
    rows = min(_ROWS, config.chunk_tokens // 2)
    tokens = tuple(int(t) for t in random.integers(1, max(2, rows // count + 1), count))
    if random.random() < 0.3:
        tokens = (1,) * count
    positions, prefix = (0,) * count, ()
    if description.causal:
        room = config.max_context - max(tokens)
        reach = room if random.random() < 0.25 else min(room, 300)
        positions = tuple(int(p) for p in random.integers(0, reach + 1, count))
        # Every sequence has at least its prefix in the cache.
        length = int(random.choice([0, 0, 1, 1, 2, 40]))
        prefix = tuple(random.integers(0, description.vocabulary, length).tolist())
        prefix = prefix[: min(positions)]
    throttle = Throttle(
        stalls=float(random.choice([0.1, 0.3, 0.5])),
        latency_cycles=int(random.integers(1, 100)),
        bandwidth_gbps=None if random.random() < 0.7 else float(random.integers(16, 100)),
        seed=seed,
    )
    return SoakCase(
        description=replace(
            description, max_positions=max(p + t for p, t in zip(positions, tokens, strict=True))
        ),
        hidden_block=-(-hidden // blocks),
        codec=str(random.choice(codec_choices(config))),
        dataflow="gemm" if count == 1 and random.random() < 0.25 and config.baseline else "tphs",
        positions=positions,
        tokens=tokens,
        prefix=prefix,
        throttle=throttle,
        seed=seed,
    )


def run_case(case: SoakCase, chosen: ChosenConfig) -> Check:
    """Simulate a case; what was compared and the first difference."""
    config = chosen.config
    image, model = _compiled(case, chosen)
    check = Check()
    tokens = case.description.outputs == "tokens"
    run_step(
        image,
        model,
        BitTrueModel(model, config, dataflow=case.dataflow),
        positions=case.positions,
        tokens=case.tokens,
        outputs=Outputs.LOGITS | Outputs.ARGMAX if tokens else Outputs.LOGITS,
        whole=bool(case.seed % 2),
        throttle=case.throttle,
        seed=case.seed,
        check=check,
        log=lambda text: None,
    )
    return check


def _compiled(case: SoakCase, chosen: ChosenConfig) -> tuple[Image, QuantisedModel]:
    if case.checkpoint is not None:
        loaded = case.checkpoint.compiled(
            case.description,
            chosen=chosen,
            codec=case.codec,
            hidden_block=case.hidden_block,
            seed=case.seed,
            log=lambda text: None,
        )
        assert loaded.quantised is not None
        return loaded.image, loaded.quantised
    model = synthetic_model(
        case.description, hidden_block=case.hidden_block, seed=case.seed, prefix=case.prefix
    )
    image = compile_image(
        model,
        chosen.config,
        config_name=chosen.name,
        codec=case.codec,
        tokenizer_json="{}",
        context=case.description.max_positions,
        dataflow=case.dataflow,
        step=(case.positions[0], case.tokens[0]),
    )
    return image, model


def _check_head_dim(head_dim: int | None, config: AcceleratorConfig) -> None:
    """ValueError for one that the configuration cannot hold, or that has no rotary pairs."""
    most = config.max_head_dim
    if head_dim is not None and (head_dim % 2 or not 2 <= head_dim <= most):
        raise ValueError(f"head_dim must be even and at most max_head_dim ({most}), not {head_dim}")


@takes_config("zcu102")
def soak_command(
    seed: Annotated[int, seed_option("everything that is drawn")] = 0,
    count: Annotated[int, typer.Option(help="Combinations to try.")] = 50,
    *,
    config: ChosenConfig,
    checkpoints: Annotated[
        bool,
        typer.Option(
            "--checkpoints",
            help=f"Checkpoints like {choices(CHECKPOINTS)}: written as directories and GGUF files "
            "and compiled.",
        ),
    ] = False,
    head_dim: Annotated[
        int | None, typer.Option(help="Head dim of every model; drawn if left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Random models, contexts, sequences and stalls on the simulated chip; every result compared
    with golden.

    Exit code 1 at the first difference, or run that does not end, which is printed with its
    combination.
    """
    for name, value, least in (("count", count, 1), ("seed", seed, 0)):
        check_least(name, value, least)
    random = np.random.default_rng(seed)
    settings = config.config
    _check_head_dim(head_dim, settings)
    values, cases, difference = 0, [], None
    for index in range(count):
        case = draw_case(
            random,
            settings,
            int(random.integers(0, 1 << 31)),
            checkpoints=checkpoints,
            head_dim=head_dim,
        )
        cases.append(case.to_dict())
        log(f"case {index + 1} of {count}: {case.to_dict()}")
        try:
            check = run_case(case, config)
            values, difference = values + check.total, check.difference
        except (DeviceError, DeviceTimeout, SimulationError, ValueError) as error:
            # All that is drawn fits, so that a ValueError is a fault as well.
            difference = f"{type(error).__name__}: {error}"
        if difference is not None:
            break
    report = {
        "config": config.name,
        **config_facts(settings),
        "seed": seed,
        "cases": len(cases),
        "checked": values,
        "matches_golden": difference is None,
        "first_difference": difference,
        "combinations": cases,
        "label": "simulated",
    }
    if as_json:
        print_json(report)
    else:
        say(f"{len(cases)} combinations on {config.name}, {values:,} values compared with golden")
    if difference is not None:
        say(f"meadow: case {len(cases)} differs from golden: {difference}: {cases[-1]}", err=True)
        raise typer.Exit(EXIT_DIFFERENCE)
