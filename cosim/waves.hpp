// SPDX-License-Identifier: Apache-2.0
// Every signal of the design in an FST file, in the cycles in which it works on the commands that are asked for.
#pragma once

#include <cstdint>
#include <vector>

#include "timeline.hpp"
#include "verilated_fst_c.h"

namespace meadow {

// Time units of the file in a cycle: cycle c begins at c * kWaveUnits, its rising edge is half way.
constexpr uint64_t kWaveUnits = 10;
// Cycles after the last work on a command that still belong to it.
constexpr uint64_t kWaveTail = 64;

class Waves {
  public:
    // `running`: bit of the levels that is 1 while a program runs.
    template <typename Top>
    Waves(Top& top, const char* path, std::vector<TimelineTrack> tracks, unsigned running)
        : tracks_(tracks), running_(running) {
        top.trace(&file_, 99);
        file_.open(path);
    }
    ~Waves() { file_.close(); }

    // From here on the commands `first` to `last` of the program that runs; none if `first` is above `last`.
    void commands(uint32_t first, uint32_t last) {
        first_ = first, last_ = last;
        on_ = false;
    }
    // Before the rising edge of `cycle`. Recording begins when a unit works on a command that is asked for, and ends when the
    // last of them has been handed over and no unit has worked on one for kWaveTail cycles.
    template <typename Command>
    void before_edge(uint64_t cycle, uint64_t levels, uint32_t handed, Command command) {
        if (first_ > last_) return;
        if (works(levels, command)) {
            on_ = true;
            worked_ = cycle;
        } else if (on_ && cycle - worked_ > kWaveTail && (handed > last_ || !(levels >> running_ & 1))) {
            on_ = false;
        }
        if (!on_) return;
        file_.dump(cycle * kWaveUnits);
        ++cycles_;
    }
    void after_edge(uint64_t cycle) {
        if (on_) file_.dump(cycle * kWaveUnits + kWaveUnits / 2);
    }
    // Cycles in the file.
    uint64_t cycles() const { return cycles_; }

  private:
    template <typename Command>
    bool works(uint64_t levels, Command command) const {
        for (const TimelineTrack& track : tracks_) {
            if (!(levels >> track.first & ((uint64_t(1) << track.items) - 1))) continue;
            const uint32_t index = command(track.unit);
            if (index >= first_ && index <= last_) return true;
        }
        return false;
    }

    VerilatedFstC file_;
    std::vector<TimelineTrack> tracks_;
    unsigned running_;
    uint32_t first_ = 1, last_ = 0;
    bool on_ = false;
    uint64_t worked_ = 0;
    uint64_t cycles_ = 0;
};

}  // namespace meadow
