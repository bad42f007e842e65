// SPDX-License-Identifier: Apache-2.0
// Levels sampled every cycle, kept as intervals: what a timeline needs of millions of cycles.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace meadow {

// Mirrors TIMELINE_EVENT of timeline.py field by field.
struct TimelineEvent {
    uint64_t start;    // cycle
    uint64_t cycles;   // to the end of the interval, gaps included
    uint64_t active;   // cycles in which the item was 1
    uint32_t item;     // bit of `activity`, or kCommandItem
    uint32_t command;  // with kCommandItem: index of the command
};

constexpr unsigned kItems = 64;
constexpr uint32_t kCommandItem = kItems;

class Timeline {
  public:
    // Gaps of an item of at most `gap` cycles are part of its interval.
    explicit Timeline(uint64_t gap) : gap_(gap) {}

    void sample(uint64_t cycle, uint64_t levels, uint32_t command) {
        if (command != command_) {
            end_command(cycle);
            command_ = command;
            command_start_ = cycle;
        }
        for (uint64_t changed = levels ^ levels_; changed; changed &= changed - 1) {
            const unsigned item = static_cast<unsigned>(__builtin_ctzll(changed));
            if (levels >> item & 1)
                rise(item, cycle);
            else
                fall(item, cycle);
        }
        levels_ = levels;
    }
    // All intervals, those that have not ended cut at `cycle`; starts anew.
    std::vector<TimelineEvent> take(uint64_t cycle) {
        for (unsigned item = 0; item < kItems; ++item) {
            if (levels_ >> item & 1) fall(item, cycle);
            flush(item);
            if (levels_ >> item & 1) rise(item, cycle);
        }
        end_command(cycle);
        command_start_ = cycle;
        std::vector<TimelineEvent> taken;
        taken.swap(events_);
        return taken;
    }

  private:
    struct Interval {
        uint64_t start = 0, end = 0, active = 0, rise = 0;
    };

    void rise(unsigned item, uint64_t cycle) {
        Interval& interval = intervals_[item];
        if (interval.active && cycle - interval.end > gap_) flush(item);
        if (!interval.active) interval.start = cycle;
        interval.rise = cycle;
    }
    void fall(unsigned item, uint64_t cycle) {
        Interval& interval = intervals_[item];
        interval.end = cycle;
        interval.active += cycle - interval.rise;
    }
    void flush(unsigned item) {
        Interval& interval = intervals_[item];
        if (interval.active)
            events_.push_back({interval.start, interval.end - interval.start, interval.active, item, 0});
        interval = Interval{};
    }
    void end_command(uint64_t cycle) {
        if (command_ && cycle > command_start_) {
            const uint64_t cycles = cycle - command_start_;
            events_.push_back({command_start_, cycles, cycles, kCommandItem, command_ - 1});
        }
    }

    uint64_t gap_;
    uint64_t levels_ = 0;
    std::array<Interval, kItems> intervals_{};
    uint32_t command_ = 0;
    uint64_t command_start_ = 0;
    std::vector<TimelineEvent> events_;
};

}  // namespace meadow
