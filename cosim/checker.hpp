// SPDX-License-Identifier: Apache-2.0
// AXI4 rules that the masters and the AXI4-Lite slave of the design must keep. Violations are collected, not printed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include "bursts.hpp"
#include "dram.hpp"

namespace meadow {

class Violations {
  public:
    void add(uint64_t cycle, const std::string& text) {
        ++count_;
        if (texts_.size() < kKept) texts_.push_back("cycle " + std::to_string(cycle) + ": " + text);
    }
    uint64_t count() const { return count_; }
    std::string joined() const {
        std::string all;
        for (const std::string& text : texts_) all += (all.empty() ? "" : "\n") + text;
        return all;
    }
    void clear() {
        count_ = 0;
        texts_.clear();
    }

  private:
    static constexpr size_t kKept = 16;
    uint64_t count_ = 0;
    std::vector<std::string> texts_;
};

// VALID without READY: VALID stays and the payload does not change.
template <typename Payload>
class Stable {
  public:
    // False if the rule is broken in this cycle.
    bool check(bool valid, bool ready, const Payload& payload) {
        const bool good = !waiting_ || (valid && payload == payload_);
        waiting_ = valid && !ready;
        payload_ = payload;
        return good;
    }
    void reset() { waiting_ = false; }
    bool waiting() const { return waiting_; }

  private:
    bool waiting_ = false;
    Payload payload_{};
};

class PortChecker {
  public:
    void reset() {
        ar_.reset();
        aw_.reset();
        w_.reset();
        lengths_.clear();
        beat_ = 0;
    }
    void check(unsigned port, uint64_t cycle, const MasterPins& in, const SlavePins& out, Violations& found,
               BurstLog& log) {
        place_ = Place{port, cycle, &found};
        if (in.arvalid && !ar_.waiting()) log.add(record(in.araddr, in.arlen, 0));
        if (in.awvalid && !aw_.waiting()) log.add(record(in.awaddr, in.awlen, 1));
        const Address ar{in.araddr, in.arlen, in.arsize, in.arburst}, aw{in.awaddr, in.awlen, in.awsize, in.awburst};
        if (!ar_.check(in.arvalid, out.arready, ar)) report("ar", kUnstable);
        if (!aw_.check(in.awvalid, out.awready, aw)) report("aw", kUnstable);
        if (!w_.check(in.wvalid, out.wready, Data{in.wdata, in.wstrb, in.wlast})) report("w", kUnstable);
        if (in.arvalid && out.arready) burst(ar, "ar");
        if (in.wvalid && out.wready) beat(in);
        if (in.awvalid && out.awready) {
            burst(aw, "aw");
            lengths_.push_back(in.awlen + 1u);
        }
    }

  private:
    struct Address {
        uint64_t address;
        uint8_t length, size, burst;
        bool operator==(const Address& o) const {
            return address == o.address && length == o.length && size == o.size && burst == o.burst;
        }
    };
    struct Data {
        std::array<uint32_t, 4> data;
        uint16_t strobe;
        uint8_t last;
        bool operator==(const Data& o) const { return data == o.data && strobe == o.strobe && last == o.last; }
    };

    struct Place {
        unsigned port;
        uint64_t cycle;
        Violations* found;
    };
    static constexpr const char* kUnstable = "payload or valid changed before ready";

    BurstRecord record(uint64_t address, uint8_t length, uint16_t write) const {
        return {place_.cycle, address, length + 1u, static_cast<uint16_t>(place_.port), write};
    }
    void report(const char* channel, const std::string& text) {
        place_.found->add(place_.cycle, "m_axi" + std::to_string(place_.port) + "_" + channel + ": " + text);
    }
    void burst(const Address& a, const char* channel) {
        const bool crosses = a.address % kPageBytes + (a.length + 1u) * kBeatBytes > kPageBytes;
        if (a.size == 4 && a.burst == 1 && a.address % kBeatBytes == 0 && !crosses) return;
        char text[64];
        std::snprintf(text, sizeof text, "burst of %u beats at 0x%llx ", a.length + 1u,
                      static_cast<unsigned long long>(a.address));
        if (a.size != 4) report(channel, std::string(text) + "must have a size of 16 bytes");
        if (a.burst != 1) report(channel, std::string(text) + "must be of type INCR");
        if (a.address % kBeatBytes) report(channel, std::string(text) + "must be aligned to 16 bytes");
        if (crosses) report(channel, std::string(text) + "crosses a 4 KiB boundary");
    }
    void beat(const MasterPins& in) {
        if (lengths_.empty()) return;  // the slave takes no data before its address
        const bool last = ++beat_ == lengths_.front();
        if (last != static_cast<bool>(in.wlast))
            report("w", std::string("wlast ") + (last ? "missing at" : "before") + " the end of a burst of " +
                            std::to_string(lengths_.front()) + " beats");
        if (last) {
            beat_ = 0;
            lengths_.pop_front();
        }
    }

    Place place_{};
    Stable<Address> ar_, aw_;
    Stable<Data> w_;
    std::deque<unsigned> lengths_;
    unsigned beat_ = 0;
};

}  // namespace meadow
