// SPDX-License-Identifier: Apache-2.0
// Every burst that a master shows to the memory, in order: what tests compare with the window.
#pragma once

#include <cstdint>
#include <vector>

namespace meadow {

// Mirrors BURST of bursts.py field by field.
struct BurstRecord {
    uint64_t cycle;
    uint64_t address;
    uint32_t beats;
    uint16_t port;
    uint16_t write;
};

class BurstLog {
  public:
    bool on = false;

    // For the first cycle of a VALID, whether READY is high or not.
    void add(const BurstRecord& burst) {
        if (on) kept_.push_back(burst);
    }
    // What was kept since the last call; valid until the next one.
    const std::vector<BurstRecord>& take() {
        taken_.swap(kept_);
        kept_.clear();
        return taken_;
    }

  private:
    std::vector<BurstRecord> kept_, taken_;
};

}  // namespace meadow
