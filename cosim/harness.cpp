// SPDX-License-Identifier: Apache-2.0
// The clock loop around a verilated `meadow_top`, with a C interface for library.py.
//
// A cycle: drive inputs with the clock low, settle, sample every handshake, raise the clock. Build with
// -DMEADOW_PORTS=P. The design is Vtop, its ports carry the flat AXI names.
#include <memory>
#include <stdexcept>

#include "Vtop.h"
#include "bursts.hpp"
#include "checker.hpp"
#include "dram.hpp"
#include "timeline.hpp"
#include "verilated.h"
#if VM_TRACE
#include "waves.hpp"
#endif

// Verilator calls these on $stop, failed assertions and its own fatal errors; the default ends the process.
static void give_up(const std::string& what, const char* file, int line, const char* hierarchy) {
    const std::string scope = *hierarchy ? std::string(" in ") + hierarchy : "";
    throw std::runtime_error(what + " at " + file + ":" + std::to_string(line) + scope);
}
void vl_stop(const char* file, int line, const char* hierarchy) { give_up("assertion or $stop", file, line, hierarchy); }
void vl_fatal(const char* file, int line, const char* hierarchy, const char* message) {
    give_up(message, file, line, hierarchy);
}

namespace meadow {
namespace {

constexpr uint64_t kLiteTimeout = 10000;

struct LiteWrite {
    uint8_t response;
    bool operator==(const LiteWrite& o) const { return response == o.response; }
};
struct LiteRead {
    uint32_t data;
    uint8_t response;
    bool operator==(const LiteRead& o) const { return data == o.data && response == o.response; }
};

// Ports that only the chip has; designs in tests do without.
template <typename Top>
auto activity_of(const Top& top, int) -> decltype(uint64_t(top.activity)) {
    return top.activity;
}
template <typename Top>
uint64_t activity_of(const Top&, long) {
    return 0;
}
// Field of kIndexBits bits of `unit_command`, which is wider than 64.
constexpr unsigned kIndexBits = 24;
template <typename Top>
auto unit_command_of(const Top& top, unsigned unit, int) -> decltype(uint32_t(top.unit_command[0])) {
    const unsigned bit = unit * kIndexBits, word = bit / 32, shift = bit % 32;
    uint64_t both = top.unit_command[word];
    if (shift + kIndexBits > 32) both |= uint64_t(top.unit_command[word + 1]) << 32;
    return both >> shift & ((1u << kIndexBits) - 1);
}
template <typename Top>
uint32_t unit_command_of(const Top&, unsigned, long) {
    return 0;
}
template <typename Top>
auto handed_of(const Top& top, int) -> decltype(uint32_t(top.command_index)) {
    return top.command_index;
}
template <typename Top>
uint32_t handed_of(const Top&, long) {
    return 0;
}

std::string refused(const char* access, uint32_t offset, unsigned response) {
    char text[80];
    std::snprintf(text, sizeof text, "%s of register 0x%x was answered %s", access, offset,
                  response == 2 ? "SLVERR" : response == 3 ? "DECERR" : "EXOKAY");
    return text;
}

class Simulation {
  public:
    std::string error;
    Violations violations;
    BurstLog bursts;
    uint64_t cycle = 0;
    std::deque<Port> ports;
    std::unique_ptr<Timeline> timeline;
    std::vector<TimelineEvent> taken;

    explicit Simulation(const Settings& settings) : context_(new VerilatedContext), top_(nullptr) {
        context_->randReset(0);
        context_->traceEverOn(VM_TRACE);
        top_.reset(new Vtop(context_.get(), "top"));
        context_->timeunit(-9);  // which the constructor sets to something else
        context_->timeprecision(-9);
        for (unsigned p = 0; p < MEADOW_PORTS; ++p) ports.emplace_back(dram_);
        configure(settings);
    }
    ~Simulation() {
        close_waves();
        top_->final();
    }
    void configure(const Settings& settings) {
        dram_.configure(settings, MEADOW_PORTS);
        for (unsigned p = 0; p < MEADOW_PORTS; ++p) ports[p].configure(p);
    }
    const DramCounters& dram_counters() const { return dram_.counters; }
    bool interrupt() const { return top_->irq; }
    // No burst is asked for or under way.
    bool quiet() {
        sample();
        for (unsigned p = 0; p < MEADOW_PORTS; ++p)
            if (!ports[p].idle() || pins_[p].arvalid || pins_[p].awvalid || pins_[p].wvalid) return false;
        return true;
    }
    // Whether the library can.
    bool open_waves(const char* path, std::vector<TimelineTrack> tracks, unsigned running) {
#if VM_TRACE
        waves_.reset(new Waves(*top_, path, tracks, running));
        return true;
#else
        (void)path, (void)tracks, (void)running;
        return false;
#endif
    }
    void waves_of(uint32_t first, uint32_t last) {
#if VM_TRACE
        if (waves_) waves_->commands(first, last);
#else
        (void)first, (void)last;
#endif
    }
    // Cycles in the file, which is whole then.
    uint64_t close_waves() {
#if VM_TRACE
        const uint64_t cycles = waves_ ? waves_->cycles() : 0;
        waves_.reset();
        return cycles;
#else
        return 0;
#endif
    }
    void reset(unsigned cycles) {
        for (Port& port : ports) port.reset();
        for (PortChecker& checker : checkers_) checker.reset();
        lite_b_.reset();
        lite_r_.reset();
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_arvalid = 0;
        top_->s_axi_bready = top_->s_axi_rready = 0;
        top_->rst = 1;
        for (unsigned i = 0; i < cycles; ++i) tick();
        top_->rst = 0;
        tick();  // AXI: a master may raise VALID after the first edge without reset
    }
    uint64_t run(uint64_t cycles, bool until_interrupt) {
        const uint64_t start = cycle;
        while (cycle - start < cycles && !(until_interrupt && top_->irq)) tick();
        return cycle - start;
    }
    int write(uint32_t offset, uint32_t value) {
        top_->s_axi_awaddr = offset;
        top_->s_axi_wdata = value;
        top_->s_axi_wstrb = 15;
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_bready = 1;
        for (uint64_t i = 0; i < kLiteTimeout; ++i) {
            tick();
            if (lite_.aw) top_->s_axi_awvalid = 0;
            if (lite_.w) top_->s_axi_wvalid = 0;
            if (lite_.b) {
                top_->s_axi_bready = 0;
                return lite_.bresp;
            }
        }
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_bready = 0;
        throw std::runtime_error("no answer to a register write within 10000 cycles");
    }
    int read(uint32_t offset, uint32_t* value) {
        top_->s_axi_araddr = offset;
        top_->s_axi_arvalid = top_->s_axi_rready = 1;
        for (uint64_t i = 0; i < kLiteTimeout; ++i) {
            tick();
            if (lite_.ar) top_->s_axi_arvalid = 0;
            if (lite_.r) {
                top_->s_axi_rready = 0;
                *value = lite_.rdata;
                return lite_.rresp;
            }
        }
        top_->s_axi_arvalid = top_->s_axi_rready = 0;
        throw std::runtime_error("no answer to a register read within 10000 cycles");
    }

  private:
    struct Lite {
        bool aw, w, b, ar, r;
        uint8_t bresp, rresp;
        uint32_t rdata;
    };

    void tick() {
        serve();
        top_->clk = 0;
        drive();
        top_->eval();
        sample();
        const auto command = [this](unsigned unit) { return unit_command_of(*top_, unit, 0); };
        if (timeline) timeline->sample(cycle, activity_of(*top_, 0), command);
#if VM_TRACE
        if (waves_) waves_->before_edge(cycle, activity_of(*top_, 0), handed_of(*top_, 0), command);
#endif
        if (top_->rst)
            check_reset();
        else
            for (unsigned p = 0; p < MEADOW_PORTS; ++p) {
                checkers_[p].check(p, cycle, pins_[p], ports[p].out, violations, bursts);
                ports[p].end_cycle(pins_[p]);
            }
        sample_lite();
        top_->clk = 1;
        top_->eval();
#if VM_TRACE
        if (waves_) waves_->after_edge(cycle);
#endif
        sample_offers();
        ++cycle;
    }
    void serve() {
        if (top_->rst) return;
        for (Port& port : ports) port.begin_cycle();
        if (dram_.paged())
            for (unsigned i = 0; i < MEADOW_PORTS; ++i) {
                const unsigned p = (cycle + i) % MEADOW_PORTS;
                ports[p].open_rows(pins_[p].wvalid);
            }
        dram_.begin_data();
        const bool write_first = cycle / MEADOW_PORTS & 1;
        for (unsigned i = 0; i < MEADOW_PORTS; ++i) {
            const unsigned p = (cycle + i) % MEADOW_PORTS;
            if (write_first) ports[p].serve_write(pins_[p].wvalid);
            ports[p].serve_read();
            if (!write_first) ports[p].serve_write(pins_[p].wvalid);
        }
    }
    void check_reset() {
        if (++reset_cycles_ < 4) return;  // the design registers its reset twice
        for (unsigned p = 0; p < MEADOW_PORTS; ++p)
            if (pins_[p].arvalid || pins_[p].awvalid || pins_[p].wvalid)
                violations.add(cycle, "m_axi" + std::to_string(p) + ": valid during reset");
    }
    void sample_lite() {
        lite_ = Lite{bool(top_->s_axi_awvalid && top_->s_axi_awready), bool(top_->s_axi_wvalid && top_->s_axi_wready),
                     bool(top_->s_axi_bvalid && top_->s_axi_bready), bool(top_->s_axi_arvalid && top_->s_axi_arready),
                     bool(top_->s_axi_rvalid && top_->s_axi_rready), top_->s_axi_bresp, top_->s_axi_rresp,
                     top_->s_axi_rdata};
        if (top_->rst) return;
        reset_cycles_ = 0;
        if (!lite_b_.check(top_->s_axi_bvalid, top_->s_axi_bready, LiteWrite{top_->s_axi_bresp}))
            violations.add(cycle, "s_axi_b: payload or valid changed before ready");
        if (!lite_r_.check(top_->s_axi_rvalid, top_->s_axi_rready, LiteRead{top_->s_axi_rdata, top_->s_axi_rresp}))
            violations.add(cycle, "s_axi_r: payload or valid changed before ready");
        // No rule of AXI, but one of ours: where a processor is the master, such an answer ends its program.
        if (lite_.b && lite_.bresp) violations.add(cycle, refused("s_axi_b: a write", top_->s_axi_awaddr, lite_.bresp));
        if (lite_.r && lite_.rresp) violations.add(cycle, refused("s_axi_r: a read", top_->s_axi_araddr, lite_.rresp));
    }

#define MEADOW_SAMPLE(p)                                                                  \
    {                                                                                     \
        MasterPins& in = pins_[p];                                                        \
        in.araddr = top_->m_axi##p##_araddr, in.arlen = top_->m_axi##p##_arlen;           \
        in.arsize = top_->m_axi##p##_arsize, in.arburst = top_->m_axi##p##_arburst;       \
        in.arvalid = top_->m_axi##p##_arvalid, in.rready = top_->m_axi##p##_rready;       \
        in.awaddr = top_->m_axi##p##_awaddr, in.awlen = top_->m_axi##p##_awlen;           \
        in.awsize = top_->m_axi##p##_awsize, in.awburst = top_->m_axi##p##_awburst;       \
        in.awvalid = top_->m_axi##p##_awvalid, in.wvalid = top_->m_axi##p##_wvalid;       \
        in.wlast = top_->m_axi##p##_wlast, in.wstrb = top_->m_axi##p##_wstrb;             \
        for (unsigned word = 0; word < 4; ++word) in.wdata[word] = top_->m_axi##p##_wdata[word]; \
        in.bready = top_->m_axi##p##_bready;                                              \
    }
#define MEADOW_DRIVE(p)                                                                   \
    {                                                                                     \
        const SlavePins& out = ports[p].out;                                              \
        top_->m_axi##p##_arready = out.arready, top_->m_axi##p##_rvalid = out.rvalid;     \
        top_->m_axi##p##_rlast = out.rlast, top_->m_axi##p##_rresp = out.rresp;           \
        for (unsigned word = 0; word < 4; ++word) top_->m_axi##p##_rdata[word] = out.rdata[word]; \
        top_->m_axi##p##_awready = out.awready, top_->m_axi##p##_wready = out.wready;     \
        top_->m_axi##p##_bvalid = out.bvalid, top_->m_axi##p##_bresp = out.bresp;         \
    }
#define MEADOW_OFFER(p) pins_[p].wvalid = top_->m_axi##p##_wvalid;
#if MEADOW_PORTS == 1
#define MEADOW_EACH(what) what(0)
#elif MEADOW_PORTS == 2
#define MEADOW_EACH(what) what(0) what(1)
#elif MEADOW_PORTS == 4
#define MEADOW_EACH(what) what(0) what(1) what(2) what(3)
#else
#error "MEADOW_PORTS must be 1, 2 or 4"
#endif
    void sample() { MEADOW_EACH(MEADOW_SAMPLE) }
    void sample_offers() { MEADOW_EACH(MEADOW_OFFER) }  // all that the memory looks at before the next sample
    void drive() { MEADOW_EACH(MEADOW_DRIVE) }

    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vtop> top_;
#if VM_TRACE
    std::unique_ptr<Waves> waves_;
#endif
    Dram dram_;
    std::array<MasterPins, MEADOW_PORTS> pins_{};
    std::array<PortChecker, MEADOW_PORTS> checkers_{};
    Stable<LiteWrite> lite_b_;
    Stable<LiteRead> lite_r_;
    Lite lite_{};
    unsigned reset_cycles_ = 0;
};

// Runs `action`; -1 and the message in `error` if the design or Verilator gave up.
template <typename Action>
int64_t guarded(Simulation* simulation, Action action) {
    try {
        return static_cast<int64_t>(action());
    } catch (const std::exception& failure) {
        simulation->error = failure.what();
        return -1;
    }
}

}  // namespace
}  // namespace meadow

#define MEADOW_API extern "C" __attribute__((visibility("default")))
using meadow::Simulation;

MEADOW_API unsigned cosim_ports() { return MEADOW_PORTS; }
MEADOW_API Simulation* cosim_new(const meadow::Settings* settings) { return new Simulation(*settings); }
MEADOW_API void cosim_delete(Simulation* s) { delete s; }
MEADOW_API void cosim_configure(Simulation* s, const meadow::Settings* settings) { s->configure(*settings); }
MEADOW_API int64_t cosim_reset(Simulation* s, unsigned cycles) {
    return guarded(s, [&] { return s->reset(cycles), 0; });
}
MEADOW_API int64_t cosim_run(Simulation* s, uint64_t cycles, int until_interrupt) {
    return guarded(s, [&] { return s->run(cycles, until_interrupt != 0); });
}
MEADOW_API int64_t cosim_write(Simulation* s, uint32_t offset, uint32_t value) {
    return guarded(s, [&] { return s->write(offset, value); });
}
MEADOW_API int64_t cosim_read(Simulation* s, uint32_t offset, uint32_t* value) {
    return guarded(s, [&] { return s->read(offset, value); });
}
MEADOW_API int cosim_interrupt(Simulation* s) { return s->interrupt(); }
MEADOW_API int cosim_quiet(Simulation* s) { return s->quiet(); }
MEADOW_API uint64_t cosim_cycle(Simulation* s) { return s->cycle; }
MEADOW_API void cosim_counters(Simulation* s, unsigned port, meadow::Counters* counters) {
    *counters = s->ports[port].counters;
}
MEADOW_API void cosim_dram_counters(Simulation* s, meadow::DramCounters* counters) { *counters = s->dram_counters(); }
MEADOW_API int64_t cosim_waves(Simulation* s, const char* path, const meadow::TimelineTrack* tracks, uint64_t count,
                               unsigned running) {
    return guarded(s, [&] { return s->open_waves(path, {tracks, tracks + count}, running); });
}
MEADOW_API void cosim_waves_of(Simulation* s, uint32_t first, uint32_t last) { s->waves_of(first, last); }
MEADOW_API int64_t cosim_waves_close(Simulation* s) {
    return guarded(s, [&] { return s->close_waves(); });
}
// Bit `restart` of `activity` rises when a program starts.
MEADOW_API void cosim_timeline(Simulation* s, const meadow::TimelineTrack* tracks, uint64_t count, uint64_t gap,
                               unsigned restart) {
    s->timeline.reset(new meadow::Timeline({tracks, tracks + count}, gap, restart));
}
// Events so far, valid until the next call; returns their number.
MEADOW_API uint64_t cosim_timeline_take(Simulation* s, const meadow::TimelineEvent** events) {
    s->taken.clear();
    if (s->timeline) s->taken = s->timeline->take();
    *events = s->taken.data();
    return s->taken.size();
}
MEADOW_API void cosim_bursts(Simulation* s, int on) { s->bursts.on = on != 0; }
// Bursts since the last call, valid until the next one; returns their number.
MEADOW_API uint64_t cosim_bursts_take(Simulation* s, const meadow::BurstRecord** bursts) {
    const std::vector<meadow::BurstRecord>& taken = s->bursts.take();
    *bursts = taken.data();
    return taken.size();
}
MEADOW_API uint64_t cosim_violations(Simulation* s, char* text, uint64_t size, int clear) {
    const uint64_t count = s->violations.count();
    if (size) std::snprintf(text, size, "%s", s->violations.joined().c_str());
    if (clear) s->violations.clear();
    return count;
}
MEADOW_API const char* cosim_error(Simulation* s) { return s->error.c_str(); }
