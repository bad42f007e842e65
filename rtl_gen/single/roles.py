# SPDX-License-Identifier: Apache-2.0
"""What the interfaces of units alone are for, in words for who connects them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FIELD_MEANINGS", "ROLES"]

ROLES: Mapping[str, Mapping[str, str]] = {
    "decoder": {
        "i_job": "what the beats that come next are; jobs and beats keep one order",
        "i_beat": "beats of 16 bytes of the jobs, in order, byte 0 in the low bits",
        "o_tile__write": "part of a row of the tile in slot `slot`",
        "o_tile__done": "one cycle: this port's part of the tile is complete; slots take turns, "
        "from slot 0 on",
        "o_tile__free": "one cycle: the slot that was filled first may be filled again; both are "
        "free after reset",
        "o_parameter__write": "parameters of two output channels, from the header of a slice",
        "o_parameter__done": "one cycle: the slice's header is complete; slots take turns",
        "o_parameter__free": "one cycle: the slot that was filled first may be filled again",
        "o_tile_command": "`command` of the job that a write to a tile belongs to",
        "o_parameter_command": "`command` of the job that a header beat belongs to",
        "error": "one cycle: a stream is wrong (preamble, codeword, length or CRC-32); from then "
        "on beats are dropped and no job is taken until reset",
        "error_command": "with `error`, `command` of the job whose stream is wrong",
        "busy": "a job is queued or not completely written; stays 1 after an error",
    },
    "attention": {
        "i_command": "ATTEND or MATMUL; the next one is taken while the last one is still drained",
        "step": "which tokens of which sequences attend; stable from a command's transfer until "
        "`busy` falls",
        "busy": "from the cycle after a command was taken until all its result words were retired",
        "i_tile__write": "part of a row of a tile: a key or a value, or W weights of an output "
        "channel; port p writes rows p*W/P on, `row` counts from there",
        "i_tile__done": "one cycle, with the last write or later: this port's part of the tile is "
        "complete; slots take turns, from slot 0 on",
        "i_tile__free": "one cycle: the slot that was filled first may be filled again; both are "
        "free after reset",
        "i_parameter__write": "MATMUL only: parameters of two output channels of a slice",
        "i_parameter__done": "one cycle: this port's part of the slice's parameters is complete",
        "i_parameter__free": "one cycle: the slot that was filled first may be filled again",
        "o_read__address": "word of the operand memory to read: a query, or a row of a MATMUL",
        "o_read__command": "index of the command that `o_read__address` belongs to",
        "o_read__data": "the words in the order of their addresses, any time later",
        "o_read__exponent": "with `o_read__data`, how far the word's products are shifted left; of "
        "no account for queries",
        "o_result": "a result word, with where it goes and what is to be done with it",
        "i_result_retired": "one cycle for each result word that has been dealt with",
        "o_activity__busy_cycle": "the array multiplies in this cycle",
        "o_activity__stall_tile": "it waits for a tile",
        "o_activity__stall_operand": "it waits for words of `o_read__data`",
        "o_activity__stall_drain": "it waits for the drain of accumulators",
        "o_activity__stall_softmax": "it waits for probabilities",
        "o_activity__busy_command": "with these, index of the command; may be left open",
        "o_activity__drain_cycle": "accumulators are drained",
        "o_activity__score_cycle": "those that are drained are scores",
        "o_activity__drain_command": "with these, index of the command; may be left open",
    },
    "dma": {
        "i_fetch": "LOAD, MATMUL and ATTEND in the order in which their data is read",
        "i_load": "every LOAD that was given to `i_fetch`, in the same order, when its words may "
        "be written",
        "i_store": "STORE, when the words it stores are there",
        "step": "rows of the chunk and the sequences' places in the K/V cache; stable while a "
        "command is under way",
        "window_base": "byte address of the DMA window, a multiple of 4096; stable while not idle",
        "window_beats": "length of the window in beats of 16 bytes; nothing outside reaches a bus",
        "flush": "held at 1 until `idle`: what the bus demands is finished, all else is dropped",
        "fetch_busy": "descriptors of a command are laid out",
        "load_busy": "a LOAD is offered or at work",
        "store_busy": "a STORE is offered or its beats have not all been taken",
        "idle": "no port has anything queued, outstanding or buffered; rises 2 cycles late",
        "writes_pending": "a write is not answered yet; falls 2 cycles late",
        "o_decode": "what the beats of `o_beat` of this port are: jobs of a decoder",
        "o_beat": "beats of weights and of the K/V cache of this port, in the order of the jobs",
        "o_write__word": "a word of a LOAD for the operand memory",
        "o_write__command": "always 0",
        "o_norm": "a word of a LOAD for the parameters of norms",
        "o_table": "a word of a LOAD for the activation table",
        "o_read__address": "word of the operand memory that a STORE needs",
        "o_read__command": "always 0",
        "o_read__data": "the word; `valid` is not looked at, see the latency",
        "o_read__exponent": "with `o_read__data`, the exponent of the word, for a STORE of "
        "exponents",
        "o_error": "an access that fails: outside of the window, or answered with an error",
    },
}
"""Unit -> interface, without the number of a port -> what it is for."""

FIELD_MEANINGS: Mapping[str, Mapping[str, str]] = {
    "job": {
        "cache": "1: rows of the K/V cache, 0: a weight stream",
        "slices": "weight stream: slices",
        "tiles": "weight stream: tiles of a slice",
        "rows": "cache: rows of this port in this tile, 0 to W/P",
        "segment_beats": "cache: beats of a row",
        "column_beats": "cache: 16-element column of the first beat",
        "beats": "beats of this job",
        "command": "any number, which comes back with writes and errors",
    },
    "tile": {
        "slot": "of the tile buffer",
        "row": "of this port's rows",
        "column_beats": "16-element column of the first part of `data`",
        "mask": "bit j: elements 16*j to 16*j+15 of `data` are written",
        "data": "signed 8-bit elements, -127 to 127, element 0 in the low bits",
    },
    "parameter": {
        "slot": "of the parameter buffer",
        "beat": "it holds channels 2*beat and 2*beat+1 of this port's W/P",
        "data": "of each channel 64 bits: bias (32, signed), multiplier (16), shift (6), 10 zeros",
    },
    "result": {
        "address": "word that it goes to",
        "operand": "word of a second operand, in modes that have one",
        "half": "modes of halves: which half of the word `address` the W/2 elements are",
        "shift": "rounding shift, in modes that have one",
        "mask": "bit j: bytes 16*j to 16*j+15 of the word are written",
        "mode": "ResultMode: 0 is WRITE",
        "row": "MATMUL with arg-max: row",
        "channel": "MATMUL with arg-max: index of the first element",
        "elements": "MATMUL with arg-max: elements that count",
        "restart": "MATMUL with arg-max: the row starts again",
        "command": "index of the command",
        "data": "W signed bytes in their places; in modes of halves W/2 signed 16-bit elements",
    },
    "word": {
        "address": "word",
        "mask": "bit j: bytes 16*j to 16*j+15 are written; all 1",
        "exponent": "of the word; 0",
        "data": "W bytes, byte 0 in the low bits",
    },
    "fault": {
        "code": "ErrorCode of the register map",
        "address": "byte address of the access",
        "command": "index of the command that caused it",
        "of_commands": "always 0",
    },
    "step": {
        "rows": "tokens of the chunk",
        "sequences": "entries in use",
        "outputs": "of no account for a unit alone",
        "head_all": "rows of row set HEAD: 1: all, 0: the last of each sequence",
        "entries": "one for each sequence",
        "kv_base": "beats from the window base to the sequence's K/V cache",
        "position": "tokens already in the cache",
        "tokens": "new tokens of the sequence",
        "first_row": "row of its first new token",
    },
}
"""Kind of payload -> field -> meaning."""
