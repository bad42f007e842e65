// SPDX-License-Identifier: Apache-2.0
// What Verilator's FST writer needs of zlib, so that a machine without its headers can build it: RFC 1950 and 1951, one block
// of fixed Huffman codes, one look into a hash table at each position. It packs initial values and times, which repeat a lot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

using Bytef = unsigned char;
using uLong = unsigned long;
using uLongf = unsigned long;
constexpr int Z_OK = 0;

namespace zlib_stream {

constexpr uLong kLeastMatch = 3, kMostMatch = 258, kFarthest = 32768, kHashBits = 14;
constexpr uint32_t kAdlerBase = 65521;

class BitWriter {
  public:
    explicit BitWriter(Bytef* to) : start_(to), to_(to) {}
    // Lowest bit first.
    void put(uint32_t bits, unsigned count) {
        held_ |= uint64_t(bits) << level_;
        for (level_ += count; level_ >= 8; level_ -= 8, held_ >>= 8) *to_++ = static_cast<Bytef>(held_);
    }
    // Huffman codes stand highest bit first.
    void put_code(uint32_t code, unsigned count) {
        uint32_t turned = 0;
        for (unsigned bit = 0; bit < count; ++bit) turned |= (code >> bit & 1) << (count - 1 - bit);
        put(turned, count);
    }
    // Code of a literal, a length or the end, RFC 1951, 3.2.6.
    void put_symbol(unsigned symbol) {
        if (symbol < 144) put_code(0x30 + symbol, 8);
        else if (symbol < 256) put_code(0x190 + symbol - 144, 9);
        else if (symbol < 280) put_code(symbol - 256, 7);
        else put_code(0xc0 + symbol - 280, 8);
    }
    void align() {
        if (level_) put(0, 8 - level_);
    }
    uLong size() const { return to_ - start_; }

  private:
    Bytef* start_;
    Bytef* to_;
    uint64_t held_ = 0;
    unsigned level_ = 0;
};

// RFC 1951, 3.2.5: the number above `base` as a class and its extra bits; classes share a number of extra bits in groups.
inline void put_match(BitWriter& writer, uLong length, uLong distance) {
    unsigned extra = 0;
    uLong rest = length - kLeastMatch;
    if (length == kMostMatch) {
        writer.put_symbol(285);
    } else {
        while (rest >> extra >= 8) ++extra;
        writer.put_symbol(static_cast<unsigned>(257 + (extra << 2) + (rest >> extra)));
        writer.put(static_cast<uint32_t>(rest & ((1u << extra) - 1)), extra);
    }
    rest = distance - 1;
    extra = 0;
    while (rest >> extra >= 4) ++extra;
    writer.put_code(static_cast<uint32_t>((extra << 1) + (rest >> extra)), 5);
    writer.put(static_cast<uint32_t>(rest & ((1u << extra) - 1)), extra);
}

inline uint32_t adler32(const Bytef* from, uLong size) {
    uint32_t low = 1, high = 0;
    for (uLong i = 0; i < size; ++i) {
        low = (low + from[i]) % kAdlerBase;
        high = (high + low) % kAdlerBase;
    }
    return high << 16 | low;
}

}  // namespace zlib_stream

// A literal takes nine bits at most.
inline uLong compressBound(uLong size) { return size + size / 8 + 16; }

// `*room` is at least compressBound(size) and becomes the bytes written.
inline int compress2(Bytef* to, uLongf* room, const Bytef* from, uLong size, int /*level*/) {
    using namespace zlib_stream;
    BitWriter writer(to);
    writer.put(0x0178, 16);
    writer.put(0b011, 3);  // the last block, fixed codes
    std::vector<int64_t> seen(size_t(1) << kHashBits, -1);
    uLong position = 0;
    while (position < size) {
        uLong match = 0, distance = 0;
        if (position + kLeastMatch < size) {
            uint32_t word;
            std::memcpy(&word, from + position, 4);
            int64_t& place = seen[(word << 8) * 2654435761u >> (32 - kHashBits)];
            if (place >= 0 && position - place <= kFarthest) {
                distance = position - place;
                const uLong most = size - position < kMostMatch ? size - position : kMostMatch;
                while (match < most && from[place + match] == from[position + match]) ++match;
            }
            place = static_cast<int64_t>(position);
        }
        if (match >= kLeastMatch) {
            put_match(writer, match, distance);
            position += match;
        } else {
            writer.put_symbol(from[position++]);
        }
    }
    writer.put_symbol(256);
    writer.align();
    const uint32_t sum = adler32(from, size);
    for (int shift = 24; shift >= 0; shift -= 8) writer.put(sum >> shift & 255, 8);
    *room = writer.size();
    return Z_OK;
}
