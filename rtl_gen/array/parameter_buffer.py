# SPDX-License-Identifier: Apache-2.0
"""Parameter buffer: bias, multiplier and shift of two slices of W output channels."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import HEADER_BYTES, HEADER_FIELDS
from rtl_gen.interfaces.lane import PARAMETER
from rtl_gen.interfaces.tile import parameter_write_layout

__all__ = ["ParameterBuffer", "ParameterReadSignature"]

_HEADER = data.StructLayout(
    {field.name: signed(field.bits) if field.signed else field.bits for field in HEADER_FIELDS}
)


class ParameterReadSignature(wiring.Signature):
    """A read of R channels' parameters in every cycle, seen from who reads.

    Members
    -------
    place: Out, {slot, position: range(W/R)}: channels position*R .. position*R+R-1 of the slice in
        `slot`.
    parameters: In, [R] PARAMETER, ParameterBuffer.LATENCY cycles later.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "place": Out(data.StructLayout({"slot": 1, "position": range(config.tile_cycles)})),
                "parameters": In(data.ArrayLayout(PARAMETER, config.rows)),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParameterReadSignature) and other.config == self.config


class ParameterBuffer(wiring.Component):
    """Bias, multiplier and shift by channel; two slots, one for each of two slices.

    Parameters
    ----------
    config: width W, rows R, ports P.

    Members
    -------
    i_write: P In streams of parameter_write_layout, always ready: element p takes channels
        p*W/P + 2*beat and the next one.
    i_read: In(ParameterReadSignature), one read per cycle.

    Latency: LATENCY cycles from a place to its parameters. A read sees what was written in any
        earlier cycle.
    """

    LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        write = stream.Signature(parameter_write_layout(config), always_ready=True)
        super().__init__(
            {
                "i_write": In(write).array(config.ports),
                "i_read": In(ParameterReadSignature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        pair = BEAT_BYTES // HEADER_BYTES
        beats = config.rows // pair  # beats that one read takes, each from its own memory
        depth = config.port_rows // config.rows
        place_bits, beat_bits = depth.bit_length() - 1, beats.bit_length() - 1
        place = self.i_read.place.position[:place_bits]
        port_index = self.i_read.place.position[place_bits:]
        selected = Signal(range(max(2, config.ports)), reset_less=True)
        m.d.sync += selected.eq(port_index)

        words = []
        for port, write in enumerate(self.i_write):
            beat = write.payload.beat
            word = []
            for part in range(beats):
                memory = Memory(
                    shape=pair * PARAMETER.size,
                    depth=2 * depth,
                    init=[],
                    attrs={"ram_style": "distributed"},
                )
                m.submodules[f"memory_{port}_{part}"] = memory
                write_port = memory.write_port()
                read_port = memory.read_port()
                channels = [
                    data.View(_HEADER, write.payload.data[_HEADER.size * i :][: _HEADER.size])
                    for i in range(pair)
                ]
                m.d.comb += [
                    write_port.addr.eq(
                        Cat(beat[beat_bits : beat_bits + place_bits], write.payload.slot)
                    ),
                    write_port.data.eq(
                        Cat(*(Cat(c.bias, c.multiplier, c.shift[:6]) for c in channels))
                    ),
                    write_port.en.eq(write.valid & (beat[:beat_bits] == part)),
                    read_port.addr.eq(Cat(place, self.i_read.place.slot)),
                    read_port.en.eq(1),
                ]
                word.append(read_port.data)
            words.append(Cat(*word))
        output = Signal(self.i_read.parameters.shape(), reset_less=True)
        with m.Switch(selected):
            for port, word in enumerate(words):
                with m.Case(port):
                    m.d.sync += output.as_value().eq(word)
        m.d.comb += self.i_read.parameters.eq(output)
        return m
