// SPDX-License-Identifier: Apache-2.0
// QEMU plugin (interface version 1): prints each load and store of an AArch64 process to the first
// page that it has mapped shared with 4096 bytes, as "L|S offset size".
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated)(uint64_t id, struct qemu_plugin_tb *block);
typedef void (*accessed)(unsigned cpu, uint32_t info, uint64_t address, void *data);
typedef void (*called)(uint64_t id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c,
                       uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h);
typedef void (*returned)(uint64_t id, unsigned cpu, int64_t number, int64_t result);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated function);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *instruction, accessed function,
                                      int flags, int rw, void *data);
unsigned qemu_plugin_mem_size_shift(uint32_t info);
bool qemu_plugin_mem_is_store(uint32_t info);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, called function);
void qemu_plugin_register_vcpu_syscall_ret_cb(uint64_t id, returned function);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { MMAP = 222, SHARED = 1, PAGE = 4096, NO_REGISTERS = 0, READ_AND_WRITE = 3 };
static bool asked;
static uint64_t page;

static void access_made(unsigned cpu, uint32_t info, uint64_t address, void *data) {
    (void)cpu, (void)data;
    if (page != 0 && address - page < PAGE)
        fprintf(stderr, "%c %" PRIx64 " %u\n", qemu_plugin_mem_is_store(info) ? 'S' : 'L',
                address - page, 1u << qemu_plugin_mem_size_shift(info));
}

static void block_translated(uint64_t id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t index = 0; index < qemu_plugin_tb_n_insns(block); index++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(block, index), access_made,
                                         NO_REGISTERS, READ_AND_WRITE, NULL);
}

static void call_made(uint64_t id, unsigned cpu, int64_t number, uint64_t a, uint64_t size,
                      uint64_t c, uint64_t flags, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)cpu, (void)a, (void)c, (void)e, (void)f, (void)g, (void)h;
    asked = number == MMAP && size == PAGE && flags == SHARED;
}

static void call_returned(uint64_t id, unsigned cpu, int64_t number, int64_t result) {
    (void)id, (void)cpu;
    if (number == MMAP && asked && page == 0)
        page = (uint64_t)result;
}

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const void *info,
                                                               int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, call_made);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, call_returned);
    return argc < 0;
}
