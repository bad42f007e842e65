# SPDX-License-Identifier: Apache-2.0
# Longer than 300 lines: one table, the register map with the meaning of every bit of it.
"""Register map of the AXI4-Lite slave: 32-bit registers, byte offsets, little-endian.

Every access is answered OKAY, as SLVERR or DECERR would stop an operating system. One that the
device refuses (`Refusal`) changes nothing but `refused` and `refused_offset`, which say of the
first such access what was wrong and where, until the host clears them by writing ones to `refused`;
those that follow before that leave no trace. A refused read gives 0.

The interrupt is raised when a program has ended and nothing of it is left on the bus, so that the
next doorbell may follow at once; if the memory leaves a burst unanswered for `watchdog` cycles, it
is raised with STUCK and BUSY set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from meadow.spec.config import AcceleratorConfig
from meadow.spec.parameters import register_values
from meadow.spec.streams import CODEC_NAMES, Codec

__all__ = [
    "CONTROL_MEANINGS",
    "COUNTERS",
    "ERROR_CAUSES",
    "LAST_OFFSET",
    "MAGIC",
    "OUTPUT_MEANINGS",
    "REFUSAL_MEANINGS",
    "REFUSED",
    "REFUSED_OFFSET",
    "SEQUENCE_FIELDS",
    "SEQUENCE_TABLE",
    "STATUS_MEANINGS",
    "STEP_FIELDS",
    "STEP_REGISTERS",
    "VERSION",
    "WATCHDOG_CYCLES",
    "Control",
    "ErrorCode",
    "Refusal",
    "Register",
    "RegisterBit",
    "RegisterCode",
    "Status",
    "register_map",
    "sequence_offset",
]

MAGIC = 0x4D454144
"""ASCII "MEAD"."""
VERSION = 4
LAST_OFFSET = 0xFFC
"""Byte offset of the last word of the register space of 4 KiB."""

WATCHDOG_CYCLES = 1 << 22
"""Reset value of `watchdog`: 17 ms at 250 MHz."""


class Control(IntFlag):
    """Bits written to `control`; each acts once and reads 0, but INTERRUPT_ENABLE, which holds."""

    START = 1
    RESET = 2
    INTERRUPT_ENABLE = 4
    ACKNOWLEDGE = 8


class Status(IntFlag):
    """Bits of `status`."""

    BUSY = 1
    DONE = 2
    ERROR = 4
    INTERRUPT = 8
    STUCK = 16


class Refusal(IntFlag):
    """Bits of `refused`: the rule that an access broke. Of several the first in `REFUSAL_MEANINGS`
    is told.
    """

    NO_REGISTER = 1
    NOT_WRITABLE = 2
    PARTIAL = 4
    BUSY = 8
    BITS = 16
    STEP = 32


class ErrorCode(IntEnum):
    """First error of a program; 0 is none. Done is not set with an error."""

    NONE = 0
    ILLEGAL_COMMAND = 1
    WINDOW = 2
    READ_RESPONSE = 3
    WRITE_RESPONSE = 4
    STREAM = 5
    COMMAND_CHECK = 6
    ACTIVATION = 7
    WATCHDOG = 8


CONTROL_MEANINGS = {
    Control.START: (
        "doorbell: clears done, the error registers, `command_index` and all counters, and runs "
        "the program. "
        "Refused while busy and "
        "where `rows` or `sequences` are out of range; then no bit of the write acts"
    ),
    Control.RESET: (
        "soft reset, also while busy: abandons the program, finishes the bursts under way and "
        "resets every unit but this "
        "register file; done, error, counters and what was written stay. The device is ready when "
        "BUSY reads 0"
    ),
    Control.INTERRUPT_ENABLE: (
        "level: every write to `control` sets or clears it, and it reads back. The other bits "
        "read 0"
    ),
    Control.ACKNOWLEDGE: (
        "clears DONE, ERROR and all error registers, and so the interrupt; counters and "
        "`command_index` stay"
    ),
}
"""What writing 1 to a bit of `control` does."""

STATUS_MEANINGS = {
    Status.BUSY: "a program runs, or something of it is still on the bus; only `control` and "
    "`refused` take writes",
    Status.DONE: "the program has ended without an error; until ACKNOWLEDGE or START",
    Status.ERROR: "the program has ended, or is ending, with the error in the error registers; "
    "until ACKNOWLEDGE or START",
    Status.INTERRUPT: (
        "level of the pin `irq`: INTERRUPT_ENABLE, and DONE or ERROR, and either not BUSY or STUCK"
    ),
    Status.STUCK: (
        "an ended program waits for answers of the memory, longer than `watchdog` cycles; back to "
        "0 when they come"
    ),
}
"""What 1 in a bit of `status` says."""

REFUSAL_MEANINGS = {
    Refusal.NO_REGISTER: "a read of an offset where no register is, which gave 0",
    Refusal.NOT_WRITABLE: "a write to a read-only register, or to an offset where no register is",
    Refusal.PARTIAL: "a write of less than the four bytes of a register",
    Refusal.BUSY: "START, or a write to another register than `control` and `refused`, while busy",
    Refusal.BITS: "a write of a value with a bit that the register does not have",
    Refusal.STEP: "START with `rows` outside 1..C or `sequences` outside 1..S",
}
"""What the first refused access was, by the bit of `refused` that tells it."""

OUTPUT_MEANINGS = {
    1: ("ARGMAX", "the largest logit of each row asked for, and its token, are stored"),
    2: (
        "LOGITS",
        "all logits of each row asked for are stored (hidden states of a model without LM head)",
    ),
    4: ("NARROW", "all query heads of a KV head fit the token groups together; else WIDE is set"),
    8: ("WIDE", "grouped-query attention in passes; exactly one of NARROW and WIDE is set"),
}
"""Name and meaning of the bits of `outputs`, the conditions of commands
(`meadow.spec.commands.Outputs`).
"""

ERROR_CAUSES = {
    ErrorCode.NONE: "no error since the last START or ACKNOWLEDGE",
    ErrorCode.ILLEGAL_COMMAND: "unknown opcode, one whose unit the configuration does not have "
    "(`config_baseline`), or a field out of its range (meadow.spec.ranges)",
    ErrorCode.WINDOW: "a descriptor without beats, or beyond the DMA window; nothing of it "
    "reaches the bus",
    ErrorCode.READ_RESPONSE: "SLVERR or DECERR for a read",
    ErrorCode.WRITE_RESPONSE: "SLVERR or DECERR for a write",
    ErrorCode.STREAM: "a weight stream that breaks its format, whose codec the configuration does "
    "not have (`config_codecs`), or whose CRC-32 differs",
    ErrorCode.COMMAND_CHECK: "the CRC-32 of a command differs",
    ErrorCode.ACTIVATION: "a word beyond the activation memory",
    ErrorCode.WATCHDOG: "no progress for `watchdog` cycles",
}
"""What the device has seen; what to do about it is in `firmware.device.ERROR_MEANINGS`."""


@dataclass(frozen=True)
class RegisterBit:
    """One bit of a register: its mask, name, access and meaning.

    access: "ro", "rw" or "w1c" as of registers, or "pulse": writing 1 acts once, it reads 0.
    """

    mask: int
    name: str
    access: str
    doc: str


@dataclass(frozen=True)
class RegisterCode:
    """One value of a register that holds one of several: the value, its name and meaning."""

    value: int
    name: str
    doc: str


@dataclass(frozen=True)
class Register:
    """One 32-bit register: byte offset, name, access, meaning, and the bits that it has.

    access: "ro"; "rw"; or "w1c": the device sets bits, and writing 1 to a bit clears it.
    fields: the single bits that have a name; where there are any, the others read 0.
    codes: the values that it takes, if each has a name.
    reset: value after the pin `rst`; None for a word of the contract hash, which is made of this
        map (`meadow.spec.contract.reset_values` has them all).
    constant: the device never changes it.
    path: where it stands among others of its kind, "cycles.low" or "sequence[2].tokens"; `name`
        is the path with `_` for `.` and without brackets.
    """

    offset: int
    path: str
    access: str
    doc: str
    mask: int = 0xFFFFFFFF
    fields: tuple[RegisterBit, ...] = ()
    codes: tuple[RegisterCode, ...] = ()
    reset: int | None = 0
    constant: bool = False

    @property
    def name(self) -> str:
        """The path as one identifier: "cycles_low", "sequence2_tokens"."""
        return self.path.replace("[", "").replace("]", "").replace(".", "_")


def _named(
    meanings: Mapping[Control, str] | Mapping[Status, str] | Mapping[Refusal, str],
    access: Mapping[int, str],
) -> tuple[RegisterBit, ...]:
    """Bits with their meanings; `access` of those that are not ro."""
    return tuple(
        RegisterBit(int(bit), bit.name or "", access.get(bit, "ro"), doc)
        for bit, doc in meanings.items()
    )


_FIELDS = {
    "control": _named(
        CONTROL_MEANINGS,
        {bit: "rw" if bit == Control.INTERRUPT_ENABLE else "pulse" for bit in Control},
    ),
    "status": _named(STATUS_MEANINGS, {}),
    "refused": _named(REFUSAL_MEANINGS, dict.fromkeys(Refusal, "w1c")),
    "outputs": tuple(
        RegisterBit(bit, name, "rw", doc) for bit, (name, doc) in OUTPUT_MEANINGS.items()
    ),
    "config_codecs": tuple(
        RegisterBit(1 << codec, codec.name, "ro", f"the decoders can read streams of codec {name}")
        for codec, name in zip(Codec, CODEC_NAMES, strict=True)
    ),
    "config_baseline": (
        RegisterBit(1, "SOFTMAX", "ro", "there is the unit of the opcode SOFTMAX"),
    ),
    "config_activation_ram": (
        RegisterBit(1, "ULTRA", "ro", "the activation memory is UltraRAM, otherwise block RAM"),
    ),
}
"""Named bits by register."""

_ERROR_CODES = tuple(
    RegisterCode(int(code), code.name, cause) for code, cause in ERROR_CAUSES.items()
)


COUNTERS: tuple[tuple[str, str], ...] = (
    ("cycles", "clock cycles from START until nothing of the program is left on the bus"),
    ("array_busy", "cycles in which the array accepted tile rows"),
    ("stall_tile", "array idle inside MATMUL/ATTEND: tile not fetched or decoded yet"),
    ("stall_decoder", "of stall_tile: the DRAM is not to blame, data waits at or in the decoders"),
    ("stall_operand", "array idle inside MATMUL/ATTEND: x words of the next group not read yet"),
    ("stall_drain", "array idle inside MATMUL/ATTEND: accumulators not drained yet"),
    ("stall_softmax", "array idle inside ATTEND: probabilities not ready yet"),
    ("stall_vector", "array without work while NORM, SOFTMAX or VECTOR runs"),
    ("vector_busy", "cycles of NORM, SOFTMAX and VECTOR"),
    ("bytes_weights", "DRAM bytes read as weights, headers and norm parameters"),
    ("bytes_kv_read", "DRAM bytes read from the KV cache"),
    ("bytes_kv_write", "DRAM bytes written to the KV cache"),
    ("bytes_activations", "DRAM bytes of embeddings in, and logits or arg-max out"),
    ("bytes_commands", "DRAM bytes of commands"),
)
"""64-bit counters in register order, low word first. START clears them; they count until the
program has ended and nothing of it is left on the bus, wrap at 2**64, and keep their values until
the next START, whatever RESET and ACKNOWLEDGE do."""

STEP_FIELDS = (
    ("rows", 16, "tokens of the chunk"),
    ("sequences", 8, "sequence table entries in use"),
    ("outputs", 4, "Outputs bits: results asked for, and the variant NARROW or WIDE"),
    ("head_all", 1, "1: LM head for all rows, 0: for the last row of each sequence"),
)
"""What is to be done in a step: one register each from STEP_REGISTERS on, with the bits used."""
STEP_REGISTERS = 0x11C

REFUSED = 0x148
REFUSED_OFFSET = 0x14C
"""Offsets of the two registers that tell the first refused access."""

SEQUENCE_TABLE = 0x400
SEQUENCE_FIELDS = (
    ("kv_base", 32, "beats from the window base to this sequence's KV cache"),
    ("position", 20, "tokens already in the cache"),
    ("tokens", 16, "new tokens of this sequence in the chunk"),
    ("first_row", 16, "row of its first new token"),
)
"""Fields of a sequence entry: one register each, with the bits used."""

_COUNTER_BASE = 0x200


def sequence_offset(index: int, field: str) -> int:
    """Byte offset of a field of sequence entry `index`."""
    names = [name for name, _, _ in SEQUENCE_FIELDS]
    return SEQUENCE_TABLE + 16 * index + 4 * names.index(field)


def register_map(config: AcceleratorConfig) -> tuple[Register, ...]:
    """All registers of a configuration by ascending offset."""
    entries: list[Register] = [
        Register(0x000, "magic", "ro", f'0x{MAGIC:08X}, ASCII "MEAD"', reset=MAGIC, constant=True),
        Register(
            0x004,
            "version",
            "ro",
            f"register map version, {VERSION}",
            reset=VERSION,
            constant=True,
        ),
        *(
            Register(
                0x008 + 4 * index,
                f"contract_hash{index}",
                "ro",
                f"contract hash, bytes {4 * index}..{4 * index + 3}",
                reset=None,
                constant=True,
            )
            for index in range(8)
        ),
        *(
            Register(
                0x040 + 4 * index,
                f"config_{name}",
                "ro",
                f"AcceleratorConfig.{name}",
                fields=_FIELDS.get(f"config_{name}", ()),
                reset=value,
                constant=True,
            )
            for index, (name, value) in enumerate(register_values(config).items())
        ),
        Register(0x100, "control", "rw", "Control bits", 0xF, _FIELDS["control"]),
        Register(0x104, "status", "ro", "Status bits", fields=_FIELDS["status"]),
        Register(0x108, "program", "rw", "beats from the window base to the first command"),
        Register(
            0x10C,
            "program_length",
            "rw",
            "commands to execute at most; the program also ends at END",
        ),
        Register(
            0x110,
            "window_base.low",
            "rw",
            "DMA window base, byte address, 4 KiB aligned, bits 31..0",
            0xFFFFF000,
        ),
        Register(
            0x114,
            "window_base.high",
            "rw",
            "DMA window base, bits above 31",
            (1 << config.address_bits - 32) - 1,
        ),
        Register(0x118, "window_beats", "rw", "DMA window size in 16-byte beats"),
        *(
            Register(
                STEP_REGISTERS + 4 * index,
                name,
                "rw",
                doc,
                (1 << bits) - 1,
                _FIELDS.get(name, ()),
            )
            for index, (name, bits, doc) in enumerate(STEP_FIELDS)
        ),
        Register(
            0x12C,
            "error_code",
            "ro",
            "ErrorCode of the first error since START; this and the next four read 0 after "
            "ACKNOWLEDGE",
            codes=_ERROR_CODES,
        ),
        Register(0x130, "error_command", "ro", "index of the command that caused it"),
        Register(
            0x134, "error_address.low", "ro", "byte address of the faulting access, bits 31..0"
        ),
        Register(0x138, "error_address.high", "ro", "bits above 31"),
        Register(0x13C, "error_port", "ro", "AXI port of the faulting access"),
        Register(
            0x140,
            "command_index",
            "ro",
            "commands executed so far, of the last program; START clears it",
        ),
        Register(
            0x144,
            "watchdog",
            "rw",
            "cycles without a beat, a word or a command after which a program ends with WATCHDOG; "
            "0: never",
            reset=WATCHDOG_CYCLES,
        ),
        Register(
            REFUSED,
            "refused",
            "w1c",
            "Refusal bit of the first refused access since this register was 0; 0: none",
            sum(Refusal),
            _FIELDS["refused"],
        ),
        Register(
            REFUSED_OFFSET,
            "refused_offset",
            "ro",
            "byte offset of that access; clearing `refused` leaves it as it is",
        ),
    ]
    for index, (name, doc) in enumerate(COUNTERS):
        entries.append(
            Register(_COUNTER_BASE + 8 * index, f"{name}.low", "ro", f"{doc}, bits 31..0")
        )
        entries.append(
            Register(_COUNTER_BASE + 8 * index + 4, f"{name}.high", "ro", f"{doc}, bits 63..32")
        )
    for index in range(config.sequences):
        entries.extend(
            Register(
                sequence_offset(index, name),
                f"sequence[{index}].{name}",
                "rw",
                doc,
                (1 << bits) - 1,
            )
            for name, bits, doc in SEQUENCE_FIELDS
        )
    return tuple(entries)
