// SPDX-License-Identifier: Apache-2.0
// One DRAM behind P AXI4 slave ports of 128 bits.
//
// Bandwidth: a token bucket of rate_numerator / rate_denominator bytes per cycle, shared by all ports, reads and
// writes alike; it holds at most one beat per port, so an idle memory saves nothing up. Who is served first rotates.
// Latency: the first beat of a burst is offered `latency` cycles (at least 1) after the handshake of its address, a
// write response as long after the last beat; bursts of a port overlap and complete in order.
// Order: a read sees memory as it was at the handshake of its address, a write lands with the handshake of its
// response. A master that does not wait for its responses therefore reads stale data, here always.
// Refresh: in the last `refresh_cycles` cycles of every `refresh_interval` the data of all ports stops.
// Pages: rows of `row_bytes` lie bank after bank; every bank keeps its last row open. A burst whose row is not open when
// its first beat is due stops the data of all ports for `page_miss` cycles; two such bursts wait one after the other.
// While data stops, no read beat is newly offered, no write beat taken and no bandwidth saved up; addresses, responses
// and latencies go on. Time and rows start anew with `configure`.
// Errors: a beat outside the memory is answered DECERR, a beat at an injected address SLVERR; neither is written.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

namespace meadow {

constexpr unsigned kBeatBytes = 16;
constexpr unsigned kPageBytes = 4096;
constexpr unsigned kMaxBeats = 256;
constexpr unsigned kQueuedBursts = 64;

enum Response : uint8_t { kOkay = 0, kSlaveError = 2, kDecodeError = 3 };
enum Channel : unsigned { kAr, kR, kAw, kW, kB, kChannels };

// Mirrors Settings of library.py field by field.
struct Settings {
    uint64_t base;
    uint64_t bytes;
    uint8_t* memory;
    uint64_t rate_numerator;
    uint64_t rate_denominator;
    uint64_t latency;
    uint64_t seed;
    uint64_t error_address;
    uint32_t error_kinds;  // 1: reads, 2: writes
    uint32_t stall[kChannels];  // chance in 1/256 that a channel rests in a cycle; 256: it always does
    uint64_t refresh_interval;  // cycles, 0: never
    uint64_t refresh_cycles;
    uint64_t page_miss;  // cycles, 0: every row is open
    uint64_t row_bytes;  // at least a page of AXI, so that a burst has one row
    uint64_t banks;
};

// Mirrors Counters of library.py field by field.
struct Counters {
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t read_bursts;
    uint64_t write_bursts;
};

// Mirrors DramCounters of library.py field by field.
struct DramCounters {
    uint64_t cycles;  // without those in reset
    uint64_t refresh_cycles;
    uint64_t page_miss_cycles;
    uint64_t page_hits;
    uint64_t page_misses;
};

// What a master drives.
struct MasterPins {
    uint64_t araddr, awaddr;
    uint8_t arlen, arsize, arburst, arvalid, rready;
    uint8_t awlen, awsize, awburst, awvalid;
    std::array<uint32_t, 4> wdata;
    uint16_t wstrb;
    uint8_t wlast, wvalid, bready;
};

// What the slave answers.
struct SlavePins {
    uint8_t arready, rvalid, rlast, rresp;
    std::array<uint32_t, 4> rdata;
    uint8_t awready, wready, bvalid, bresp;
};

class Random {
  public:
    void seed(uint64_t value) { state_ = value; }
    bool chance(uint32_t of_256) { return of_256 != 0 && (next() >> 56) < of_256; }

  private:
    uint64_t next() {  // splitmix64
        uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return z ^ (z >> 31);
    }
    uint64_t state_ = 0;
};

class Dram {
  public:
    Settings settings{};
    DramCounters counters{};

    void configure(const Settings& settings_in, unsigned ports) {
        settings = settings_in;
        beat_cost_ = kBeatBytes * settings.rate_denominator;
        limit_ = ports * beat_cost_ + settings.rate_numerator;
        credit_ = 0;
        time_ = penalty_ = 0;
        open_rows_.assign(settings.banks, kClosed);
    }
    bool paged() const { return settings.page_miss != 0; }
    // For the first beat of a burst, when it is due; a cycle's calls come before its begin_data.
    void open_row(uint64_t address) {
        const uint64_t row = address / settings.row_bytes;
        uint64_t& open = open_rows_[row % settings.banks];
        if (open == row) {
            ++counters.page_hits;
            return;
        }
        open = row;
        penalty_ += settings.page_miss;
        ++counters.page_misses;
    }
    void begin_data() {
        const uint64_t interval = settings.refresh_interval;
        const bool refreshing = interval != 0 && time_ % interval >= interval - settings.refresh_cycles;
        stopped_ = refreshing || penalty_ != 0;
        if (refreshing)
            ++counters.refresh_cycles;
        else if (stopped_)
            --penalty_, ++counters.page_miss_cycles;
        else
            credit_ = std::min(credit_ + settings.rate_numerator, limit_);
        ++counters.cycles;
        ++time_;
    }
    bool take() {
        if (stopped_) return false;
        if (settings.rate_numerator == 0) return true;
        if (credit_ < beat_cost_) return false;
        credit_ -= beat_cost_;
        return true;
    }
    void give_back() {
        if (settings.rate_numerator != 0) credit_ += beat_cost_;
    }
    Response response(uint64_t address, uint32_t kind) const {
        if ((settings.error_kinds & kind) && settings.error_address / kBeatBytes == address / kBeatBytes)
            return kSlaveError;
        const uint64_t offset = address - settings.base;
        const bool inside = address >= settings.base && offset < settings.bytes &&
                            settings.bytes - offset >= kBeatBytes;
        return inside ? kOkay : kDecodeError;
    }
    uint8_t* at(uint64_t address) { return settings.memory + (address - settings.base); }

  private:
    static constexpr uint64_t kClosed = ~uint64_t{0};

    uint64_t beat_cost_ = kBeatBytes, limit_ = 0, credit_ = 0;
    uint64_t time_ = 0, penalty_ = 0;
    bool stopped_ = false;
    std::vector<uint64_t> open_rows_;
};

struct Burst {
    uint64_t address = 0;
    uint64_t ready_at = 0;
    unsigned beats = 0;
    unsigned done = 0;
    bool opened = false;  // its row is open, or being opened
    std::array<uint8_t, kMaxBeats * kBeatBytes> data;
    std::array<uint8_t, kMaxBeats> response;
    std::array<uint16_t, kMaxBeats> strobe;

    uint64_t beat_address(unsigned beat) const {
        return address / kBeatBytes * kBeatBytes + uint64_t{beat} * kBeatBytes;
    }
};

class Port {
  public:
    SlavePins out{};
    Counters counters{};

    explicit Port(Dram& dram) : dram_(dram) {}

    void configure(unsigned index) {
        for (unsigned channel = 0; channel < kChannels; ++channel)
            random_[channel].seed((dram_.settings.seed << 8) ^ (index * kChannels + channel) * 0xD1B54A32D192ED03ull);
    }
    void reset() {
        out = SlavePins{};
        reads_.clear();
        writes_.clear();
        responses_.clear();
    }
    bool idle() const { return reads_.empty() && writes_.empty() && responses_.empty(); }

    void begin_cycle() {
        out.arready = reads_.size() < kQueuedBursts && !rests(kAr);
        out.awready = writes_.size() + responses_.size() < kQueuedBursts && !rests(kAw);
        out.wready = 0;
        const bool rest = rests(kB);
        if (!out.bvalid && !responses_.empty() && responses_.front().ready_at <= cycle && !rest) {
            const Burst& burst = responses_.front();
            out.bvalid = 1;
            out.bresp = *std::max_element(burst.response.begin(), burst.response.begin() + burst.beats);
        }
        rest_read_ = rests(kR);
        rest_write_ = rests(kW);
    }
    // Opens the rows of bursts whose first beat is due; `offered` as below.
    void open_rows(bool offered) {
        if (!reads_.empty() && !rest_read_ && !reads_.front().opened && reads_.front().ready_at <= cycle)
            open_row(reads_.front());
        if (!writes_.empty() && !rest_write_ && !writes_.front().opened && offered) open_row(writes_.front());
    }
    // Each is called once per cycle, in the rotating order of service.
    void serve_read() {
        if (out.rvalid || reads_.empty() || rest_read_) return;
        const Burst& burst = reads_.front();
        if (burst.ready_at > cycle || !dram_.take()) return;
        out.rvalid = 1;
        out.rlast = burst.done + 1 == burst.beats;
        out.rresp = burst.response[burst.done];
        std::memcpy(out.rdata.data(), &burst.data[burst.done * kBeatBytes], kBeatBytes);
    }
    // `offered`: the master showed wvalid when its outputs were last settled. Without an offer no bandwidth is reserved.
    void serve_write(bool offered) {
        if (writes_.empty() || rest_write_ || !offered || !dram_.take()) return;
        out.wready = 1;
    }
    void end_cycle(const MasterPins& in) {
        if (out.rvalid && in.rready) {
            out.rvalid = 0;
            counters.bytes_read += kBeatBytes;
            if (++reads_.front().done == reads_.front().beats) reads_.pop_front();
        }
        if (out.bvalid && in.bready) {
            out.bvalid = 0;
            land(responses_.front());
            responses_.pop_front();
        }
        if (out.wready) {
            if (in.wvalid)
                accept_beat(in);
            else
                dram_.give_back();
        }
        if (out.arready && in.arvalid) accept_read(in);
        if (out.awready && in.awvalid) {
            writes_.emplace_back();
            writes_.back().address = in.awaddr;
            writes_.back().beats = in.awlen + 1u;
            ++counters.write_bursts;
        }
        ++cycle;
    }

    uint64_t cycle = 0;

  private:
    bool rests(Channel channel) { return random_[channel].chance(dram_.settings.stall[channel]); }
    uint64_t answer_at() const { return cycle + std::max<uint64_t>(1, dram_.settings.latency); }

    void open_row(Burst& burst) {
        burst.opened = true;
        dram_.open_row(burst.address);
    }
    void accept_read(const MasterPins& in) {
        reads_.emplace_back();
        Burst& burst = reads_.back();
        burst.address = in.araddr;
        burst.beats = in.arlen + 1u;
        burst.ready_at = answer_at();
        for (unsigned beat = 0; beat < burst.beats; ++beat) {
            const uint64_t address = burst.beat_address(beat);
            burst.response[beat] = dram_.response(address, 1);
            uint8_t* target = &burst.data[beat * kBeatBytes];
            if (burst.response[beat] == kOkay)
                std::memcpy(target, dram_.at(address), kBeatBytes);
            else
                std::memset(target, 0, kBeatBytes);
        }
        ++counters.read_bursts;
    }
    void accept_beat(const MasterPins& in) {
        Burst& burst = writes_.front();
        std::memcpy(&burst.data[burst.done * kBeatBytes], in.wdata.data(), kBeatBytes);
        burst.strobe[burst.done] = in.wstrb;
        burst.response[burst.done] = dram_.response(burst.beat_address(burst.done), 2);
        counters.bytes_written += kBeatBytes;
        if (++burst.done == burst.beats) {
            burst.ready_at = answer_at();
            responses_.push_back(burst);
            writes_.pop_front();
        }
    }
    void land(const Burst& burst) {
        for (unsigned beat = 0; beat < burst.beats; ++beat) {
            if (burst.response[beat] != kOkay) continue;
            uint8_t* target = dram_.at(burst.beat_address(beat));
            for (unsigned byte = 0; byte < kBeatBytes; ++byte)
                if (burst.strobe[beat] >> byte & 1) target[byte] = burst.data[beat * kBeatBytes + byte];
        }
    }

    Dram& dram_;
    std::array<Random, kChannels> random_;
    std::deque<Burst> reads_, writes_, responses_;
    bool rest_read_ = false, rest_write_ = false;
};

}  // namespace meadow
