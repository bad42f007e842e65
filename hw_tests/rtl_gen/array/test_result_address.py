# SPDX-License-Identifier: Apache-2.0
"""Result address: words of several contexts in flight get their own address, row and mode."""

from __future__ import annotations

import random

from hw_tests.rtl_gen.fields import leaves, nested
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.epilogue import ResultMode
from rtl_gen.array.result_address import ResultAddress
from rtl_gen.interfaces.schedule import result_context_layout


def test_words_take_over_their_context() -> None:
    config, seed = CONFIGURATIONS["small"], 9
    rng = random.Random(salted(seed))
    dut, layout = ResultAddress(config=config), result_context_layout(config)
    contexts, words = [], []
    for index in range(30):
        context = dict(
            base=rng.randrange(1 << 18),
            operand=rng.randrange(1 << 18),
            row=rng.randrange(1 << 14),
            mask=rng.randrange(4),
            result=rng.choice(list(ResultMode)),
            half=rng.randrange(2),
            post_shift=rng.randrange(1 << 6),
            channel=index,
            elements=rng.randrange(17),
            restart=rng.randrange(2),
        )
        stride, operand_stride = rng.randrange(1 << 12), rng.randrange(1 << 12)
        head_stride = rng.randrange(1 << 6)
        heads = rng.randint(1, config.lanes)
        high = rng.randint(1, config.lanes)
        strides = dict(stride=stride, head_stride=head_stride, operand_stride=operand_stride)
        contexts.append({**context, **strides, "heads": heads, "lanes": high})
        for lane in range(high):
            data = rng.getrandbits(8 * config.width)
            token, head = divmod(lane, heads)
            word = {**context, "data": data}
            word["mode"] = word.pop("result")
            word["address"] = word.pop("base") + token * stride + head * head_stride
            word["row"] += token
            word["operand"] += token * operand_stride
            word["shift"] = word.pop("post_shift")
            words.append((lane, word))
    seen = []

    async def bench(ctx) -> None:
        pending = list(contexts)
        sent = ended = 0
        for cycle in range(-5, len(words) + ResultAddress.LATENCY):
            send = bool(pending) and sent - ended < 6
            ctx.set(dut.i_context.valid, send)
            if send:
                ctx.set(dut.i_context.payload, nested(layout, pending.pop(0)))
                sent += 1
            if cycle >= ResultAddress.LATENCY:
                assert ctx.get(dut.o_result.valid)
                seen.append(leaves(ctx.get(dut.o_result.payload)))
            ctx.set(dut.i_result.valid, 0 <= cycle < len(words))
            if 0 <= cycle < len(words):
                lane, word = words[cycle]
                ctx.set(dut.i_result.payload, {"lane": lane, "data": word["data"]})
                ended += lane == 0 and cycle > 0
            await ctx.tick()
        assert not ctx.get(dut.o_result.valid)

    simulate(dut, bench)
    assert seen == [{"command": 0, **word} for _, word in words], f"seed {seed}"
