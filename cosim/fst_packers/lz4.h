// SPDX-License-Identifier: Apache-2.0
// What Verilator's FST writer needs of LZ4, so that a machine without that library can build it: the block format of
// https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md, one look into a hash table at each position.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace lz4_block {

constexpr int kLeastMatch = 4, kLastLiterals = 5, kNoMatchFrom = 12, kFarthest = 65535, kHashBits = 14;

inline uint32_t word_at(const char* bytes) {
    uint32_t word;
    std::memcpy(&word, bytes, 4);
    return word;
}
// What is left of a length above the 15 of the token.
inline char* put_length(char* to, int length) {
    for (; length >= 255; length -= 255) *to++ = static_cast<char>(255);
    *to++ = static_cast<char>(length);
    return to;
}
// Literals, then a match of `match` bytes `distance` back; none with `match` 0.
inline char* put_sequence(char* to, const char* literals, int count, int distance, int match) {
    char* token = to++;
    const int extra = match ? match - kLeastMatch : 0;
    *token = static_cast<char>((count < 15 ? count : 15) << 4 | (extra < 15 ? extra : 15));
    if (count >= 15) to = put_length(to, count - 15);
    if (count) std::memcpy(to, literals, count);
    to += count;
    if (!match) return to;
    *to++ = static_cast<char>(distance & 255);
    *to++ = static_cast<char>(distance >> 8);
    return extra >= 15 ? put_length(to, extra - 15) : to;
}

}  // namespace lz4_block

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

// `room` is at least LZ4_compressBound(size); returns the bytes written.
inline int LZ4_compress_default(const char* from, char* to, int size, int /*room*/) {
    using namespace lz4_block;
    std::vector<int> seen(1 << kHashBits, -1);
    char* const start = to;
    int position = 0, literals = 0;
    while (position + kNoMatchFrom <= size) {
        const uint32_t word = word_at(from + position);
        int& place = seen[word * 2654435761u >> (32 - kHashBits)];
        const int earlier = place;
        place = position;
        if (earlier < 0 || position - earlier > kFarthest || word_at(from + earlier) != word) {
            ++position;
            continue;
        }
        int match = kLeastMatch;
        while (position + match < size - kLastLiterals && from[earlier + match] == from[position + match]) ++match;
        to = put_sequence(to, from + literals, position - literals, position - earlier, match);
        literals = position += match;
    }
    return static_cast<int>(put_sequence(to, from + literals, size - literals, 0, 0) - start);
}
