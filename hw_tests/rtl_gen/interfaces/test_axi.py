# SPDX-License-Identifier: Apache-2.0
"""Port names and widths of the AXI interfaces."""

from __future__ import annotations

from rtl_gen.interfaces.axi import Axi4Signature, LiteSignature, axi_ports


def test_flat_names() -> None:
    memory = axi_ports("m_axi0", Axi4Signature(address_bits=40).create())
    assert len(memory["m_axi0_araddr"]) == 40 and len(memory["m_axi0_wstrb"]) == 16
    assert len(memory["m_axi0_rdata"]) == 128 and len(memory["m_axi0_awlen"]) == 8
    lite = axi_ports("s_axi", LiteSignature().create())
    assert len(lite["s_axi_awaddr"]) == 12 and len(lite["s_axi_rdata"]) == 32
    assert all(name == name.lower() for name in (*memory, *lite))


def test_equality() -> None:
    assert Axi4Signature(address_bits=40) == Axi4Signature(address_bits=40)
    assert Axi4Signature(address_bits=40) != Axi4Signature(address_bits=36)
    assert LiteSignature() == LiteSignature() != Axi4Signature(address_bits=40)
