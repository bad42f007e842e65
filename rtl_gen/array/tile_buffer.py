# SPDX-License-Identifier: Apache-2.0
"""Tile buffer: two W x W byte tiles, filled by P ports at once, read R rows or R columns per
cycle.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.interfaces.tile import tile_write_layout

__all__ = ["TileBuffer", "tile_read_layout"]


def tile_read_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Read rows (or columns, by_column) index*R .. index*R+R-1 of the tile in `slot`."""
    return data.StructLayout({"slot": 1, "by_column": 1, "index": range(config.tile_cycles)})


class TileBuffer(wiring.Component):
    """o_rows[r][c] = tile[slot][index*R + r][c], or tile[slot][c][index*R + r] by column; no copy
    is kept.

    Storage is cut into squares of R x R bytes. Let D = W/(P*R). Square (row group Q < D of port p,
    column group C < W/R) is entry Q of bank C xor Q of port p. The R rows of a row group therefore
    lie in all banks of one port at one address, the R columns of a column group in D banks of every
    port at D different addresses, and the permutation that puts them in order is the same xor of
    the low log2(D) index bits in both cases.

    What a bank reads goes into a register that is cleared unless its port, or its column group, is
    the one that is read: behind it stand two ORs of P inputs and one choice between row and column
    instead of a multiplexer of 2P inputs, and the bytes of a square by column are taken there.

    Parameters
    ----------
    config: width W, rows R <= 16, ports P, decoder_elements.

    Members
    -------
    i_write: P In streams of tile_write_layout, always ready: element p takes parts of rows
        p*W/P .. (p+1)*W/P-1, one per cycle. Parts beyond the last column are dropped.
    i_read: In(tile_read_layout); one read per cycle, always taken.
    o_rows: Out([R][W] signed 8 bit).

    Latency: LATENCY cycles from i_read to o_rows. A read sees what was written in any earlier
        cycle.
    Nothing stalls: whoever fills and reads keeps account of the slots. Raises ValueError for R >
        16.
    """

    LATENCY = 4

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if config.rows > BEAT_BYTES:
            raise ValueError(f"the tile buffer takes rows <= {BEAT_BYTES}, not {config.rows}")
        self._config = config
        row = data.ArrayLayout(signed(8), config.width)
        write = stream.Signature(tile_write_layout(config), always_ready=True)
        super().__init__(
            {
                "i_write": In(write).array(config.ports),
                "i_read": In(tile_read_layout(config)),
                "o_rows": Out(data.ArrayLayout(row, config.rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        rows, ports = config.rows, config.ports
        depth = config.port_rows // rows
        low_bits = depth.bit_length() - 1

        index = self.i_read.index
        low = index[:low_bits]
        address = [Signal(range(max(2, 2 * depth)), name=f"address_{i}") for i in range(depth)]
        for lane, register in enumerate(address):
            place = (low ^ Mux(self.i_read.by_column, lane, 0))[:low_bits]
            m.d.sync += register.eq(Cat(place, self.i_read.slot))
        high = index[low_bits:]
        # What the later stages need to know of the read, by stage.
        column = _delay(m, self.i_read.by_column, 2, "by_column")
        key = _delay(m, low, 3, "key")

        banks = [self._port(m, port, address, high) for port in range(ports)]
        output = Signal(self.o_rows.shape(), reset_less=True)
        m.d.comb += self.o_rows.eq(output)
        for group in range(ports):
            chosen = []
            for lane in range(depth):
                by_row = [banks[port][group * depth + lane] for port in range(ports)]
                by_column = [
                    _transposed(banks[group][other * depth + lane], rows) for other in range(ports)
                ]
                entry = Signal(8 * rows * rows, name=f"chosen_{group}_{lane}", reset_less=True)
                m.d.sync += entry.eq(Mux(column[1], reduce(or_, by_column), reduce(or_, by_row)))
                chosen.append(entry)
            for lane, square in enumerate(_permute(chosen, key[2], range(low_bits))):
                place = (group * depth + lane) * rows
                for r in range(rows):
                    for c in range(rows):
                        m.d.sync += output[r][place + c].eq(square[8 * (r * rows + c) :][:8])
        return m

    def _port(self, m: Module, port: int, address: list[Signal], high: Value) -> list[Value]:
        """Banks of one port with their write side; the R*R bytes that each bank reads, row by
        row, 0 if the read is of another port, or by column of another column group.
        """
        config = self._config
        rows = config.rows
        depth = config.port_rows // rows
        unit = BEAT_BYTES // rows  # squares side by side in a 16-element column
        write = self.i_write[port]
        payload = write.payload
        square_row, row = payload.row[rows.bit_length() - 1 :], payload.row[: rows.bit_length() - 1]
        inner_bits = min(unit, depth).bit_length() - 1
        inner, outer = square_row[:inner_bits], square_row[inner_bits:]
        # The places of a beat are exchanged in two steps: before a register four inputs for each,
        # behind it what is left together with the choice of the part.
        early, late = range(min(2, inner_bits)), range(min(2, inner_bits), inner_bits)
        write_address = Signal(
            range(max(2, 2 * depth)), name=f"write_address_{port}", reset_less=True
        )
        m.d.sync += write_address.eq(Cat(square_row, payload.slot))

        parts = config.decoder_elements // BEAT_BYTES
        part_data = []
        for part in range(parts):
            squares = [
                payload.data[8 * (BEAT_BYTES * part + rows * place) :][: 8 * rows]
                for place in range(unit)
            ]
            register = Signal(8 * BEAT_BYTES, name=f"part_{port}_{part}", reset_less=True)
            m.d.sync += register.eq(Cat(*_permute(squares, inner, early)))
            part_data.append([register[8 * rows * place :][: 8 * rows] for place in range(unit)])
        others = []
        for group in range(config.ports):
            other = Signal(name=f"other_{port}_{group}", reset_less=True)
            m.d.sync += other.eq(Mux(self.i_read.by_column, high != group, high != port))
            others.append(other)

        outputs: list[Value] = []
        for column in range(config.word_beats):
            source = Signal(range(max(2, config.word_beats)), name=f"source_{port}_{column}")
            part = Signal(range(max(2, parts)), name=f"select_{port}_{column}")
            enable = Signal(rows, name=f"enable_{port}_{column}")
            hits = [payload.mask[i] & (payload.column_beats + i == source) for i in range(parts)]
            m.d.comb += source.eq(column ^ outer)
            m.d.sync += part.eq((source - payload.column_beats)[: len(part)])
            for r in range(rows):
                m.d.sync += enable[r].eq(write.valid & Cat(hits).any() & (row == r))
            for place in range(unit):
                bank = column * unit + place
                # Which choice comes first changes for the reason that `_permute` has.
                if (column + sum(place >> bit for bit in late)) % 2:
                    words = [
                        _select(list(entries), part) for entries in zip(*part_data, strict=True)
                    ]
                    word = _permute(words, write_address[:inner_bits], late)[place]
                else:
                    moved = [
                        _permute(entries, write_address[:inner_bits], late) for entries in part_data
                    ]
                    word = _select([entries[place] for entries in moved], part)
                read = []
                for r in range(rows):
                    memory = Memory(
                        shape=8 * rows, depth=2 * depth, init=[], attrs={"ram_style": "distributed"}
                    )
                    m.submodules[f"bank_{port}_{bank}_{r}"] = memory
                    write_port = memory.write_port()
                    read_port = memory.read_port(domain="comb")
                    m.d.comb += [
                        write_port.addr.eq(write_address),
                        write_port.data.eq(word),
                        write_port.en.eq(enable[r]),
                        read_port.addr.eq(address[bank % depth]),
                    ]
                    read.append(read_port.data)
                square = Signal(8 * rows * rows, name=f"square_{port}_{bank}", reset_less=True)
                with m.If(others[bank // depth]):
                    m.d.sync += square.eq(0)
                with m.Else():
                    m.d.sync += square.eq(Cat(*read))
                outputs.append(square)
        return outputs


def _delay(m: Module, value, stages: int, name: str) -> list:
    """Registered copies of a value: result[i] is i + 1 cycles late."""
    result = []
    for stage in range(stages):
        register = Signal(max(1, len(value)), name=f"{name}_{stage}")
        m.d.sync += register.eq(value)
        result.append(register)
        value = register
    return result


def _permute(entries: list[Value], key: Value, bits: range) -> list[Value]:
    """result[i] = entries[i xor key], for a power of two of entries, of the key only these bits.

    Two bits at a time are a multiplexer of four entries for each result, one LUT per bit. The order
    of the two changes from result to result, as multiplexers of two entries that results share
    would tempt a synthesiser to build those, which are more LUTs.
    """
    if not bits:
        return entries
    pair = bits[:2]
    result = []
    for i in range(len(entries)):
        inner, outer = (
            (pair[0], pair[-1]) if (i >> pair[0] ^ i >> pair[-1]) & 1 == 0 else (pair[-1], pair[0])
        )
        chosen = [Mux(key[inner], entries[j ^ 1 << inner], entries[j]) for j in (i, i ^ 1 << outer)]
        result.append(Mux(key[outer], chosen[1], chosen[0]) if len(pair) == 2 else chosen[0])
    return _permute(result, key, bits[2:])


def _transposed(square: Value, rows: int) -> Value:
    """A square of bytes, row by row, column by column."""
    places = [8 * (r * rows + c) for c in range(rows) for r in range(rows)]
    return Cat(square[place:][:8] for place in places)


def _select(entries: list, index):
    """entries[index] for a power of two of entries."""
    for bit in range(len(entries).bit_length() - 1):
        entries = [Mux(index[bit], entries[i + 1], entries[i]) for i in range(0, len(entries), 2)]
    return entries[0]
