// SPDX-License-Identifier: Apache-2.0
// What units do and for which command, sampled every cycle, kept as intervals: what a timeline needs of millions of cycles.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace meadow {

constexpr unsigned kTrackItems = 6;

// Mirrors TIMELINE_TRACK of timeline.py field by field.
struct TimelineTrack {
    uint32_t unit;   // whose command: field of `unit_command`
    uint32_t first;  // bit of `activity` of the first item; the others follow
    uint32_t items;  // 1..kTrackItems
};

// Mirrors TIMELINE_EVENT of timeline.py field by field.
struct TimelineEvent {
    uint64_t start;                           // cycle
    uint64_t cycles;                          // to the end of the interval, gaps included
    std::array<uint64_t, kTrackItems> active;  // cycles in which each item of the track was 1
    uint32_t track;
    uint32_t command;
};

class Timeline {
  public:
    // Gaps of at most `gap` cycles in what a track shows of one command are part of its interval. While bit `restart` of the
    // levels rises, a program starts: its commands are others, whatever their indices.
    Timeline(std::vector<TimelineTrack> tracks, uint64_t gap, unsigned restart)
        : tracks_(tracks), gap_(gap), restart_(restart), intervals_(tracks.size()) {}

    // `command(unit)` is asked only for units of tracks with an item at 1.
    template <typename Command>
    void sample(uint64_t cycle, uint64_t levels, Command command) {
        if ((levels & ~levels_) >> restart_ & 1) flush_all();
        levels_ = levels;
        for (unsigned track = 0; track < tracks_.size(); ++track) {
            uint64_t own = levels >> tracks_[track].first & ((uint64_t(1) << tracks_[track].items) - 1);
            if (!own) continue;
            Interval& interval = intervals_[track];
            const uint32_t index = command(tracks_[track].unit);
            if (interval.open && (interval.event.command != index || cycle - interval.end > gap_)) flush(interval);
            if (!interval.open) {
                interval.open = true;
                interval.event = TimelineEvent{cycle, 0, {}, track, index};
            }
            interval.end = cycle + 1;
            for (; own; own &= own - 1) ++interval.event.active[__builtin_ctzll(own)];
        }
    }
    // All intervals, those that have not ended cut here; starts anew.
    std::vector<TimelineEvent> take() {
        flush_all();
        std::vector<TimelineEvent> taken;
        taken.swap(events_);
        return taken;
    }

  private:
    struct Interval {
        bool open = false;
        uint64_t end = 0;
        TimelineEvent event{};
    };

    void flush_all() {
        for (Interval& interval : intervals_)
            if (interval.open) flush(interval);
    }
    void flush(Interval& interval) {
        interval.event.cycles = interval.end - interval.event.start;
        events_.push_back(interval.event);
        interval.open = false;
    }

    std::vector<TimelineTrack> tracks_;
    uint64_t gap_;
    unsigned restart_;
    uint64_t levels_ = 0;
    std::vector<Interval> intervals_;
    std::vector<TimelineEvent> events_;
};

}  // namespace meadow
