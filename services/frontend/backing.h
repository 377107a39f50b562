#pragma once

#include <cstdint>

#include "services/common/ids.h"

namespace vswap {

// What an entry has behind it, in a 64-bit word and a 32-bit companion; both are logged as they
// are.
//
//   word       63   61 60           48 47                                            0
//             +-------+---------------+-----------------------------------------------+
//             |  tag  |      set      |                    version                    |
//             +-------+---------------+-----------------------------------------------+
//
//   tag  kind        set            version
//   0    none        0              0: never stored; else the free's, until its log record is
//   purged;
//                                   with references: the allocation's, nothing was stored yet
//   1    zero        0              the store's
//   2    compressed  who keeps it   names the record there
//   3    physical    who keeps it   names the record there
//   4    lost        who kept it    of the record that is gone; it is revived if the copy returns
//
//   companion  31      24 23      16 15 13 12                 0
//             +----------+----------+-----+--------------------+
//             |  flags   |   refs   |  0  |    stored bytes    |
//             +----------+----------+-----+--------------------+
//
//   stored bytes: 1..4096 for compressed, physical and lost; else 0.
//   refs: references to the entry, 1..255; 0: no entry. In device spaces 1, and 0 for none.
//   flags, never logged: bit 24: seen in its node's inventory by the comparison under way; bit 25:
//   loaded since the writeback last looked; bit 26: as bit 24, by the check.
enum class Backing : uint8_t { kNone = 0, kZero = 1, kCompressed = 2, kPhysical = 3, kLost = 4 };

class Word {
 public:
  constexpr Word() = default;
  constexpr explicit Word(uint64_t bits) : bits_(bits) {}
  constexpr Word(Backing kind, SetId set, Version version)
      : bits_(static_cast<uint64_t>(kind) << 61 | static_cast<uint64_t>(set) << 48 | version) {}

  constexpr uint64_t bits() const { return bits_; }
  constexpr Backing kind() const { return static_cast<Backing>(bits_ >> 61); }
  constexpr SetId set() const { return static_cast<SetId>((bits_ >> 48) & kSetIdMax); }
  constexpr Version version() const { return bits_ & kVersionMax; }
  // Whether a node keeps a record for it.
  constexpr bool stored() const {
    return kind() == Backing::kCompressed || kind() == Backing::kPhysical;
  }
  // Whether something is behind the entry: anything but none.
  constexpr bool live() const { return kind() != Backing::kNone; }
  // A tag that this version does not know is a damaged or newer table log.
  constexpr bool valid() const { return (bits_ >> 61) <= static_cast<uint64_t>(Backing::kLost); }
  constexpr bool operator==(const Word&) const = default;

 private:
  uint64_t bits_ = 0;
};

// Who has seen a record in a node's inventory: both may be under way at once.
enum class SeenBy : uint8_t { kComparison, kCheck };

class Companion {
 public:
  constexpr Companion() = default;
  constexpr explicit Companion(uint32_t bits) : bits_(bits) {}
  static constexpr Companion Stored(uint32_t stored_bytes) {
    return Companion(stored_bytes | 1u << 16);
  }

  constexpr uint32_t bits() const { return bits_; }
  constexpr uint32_t stored_bytes() const { return bits_ & 0x1fff; }
  constexpr uint32_t references() const { return (bits_ >> 16) & 0xff; }
  constexpr Companion WithReferences(uint32_t references) const {
    return Companion((bits_ & ~0xff0000u) | references << 16);
  }
  constexpr bool seen(SeenBy by) const { return (bits_ & Seen(by)) != 0; }
  constexpr Companion WithSeen(SeenBy by, bool seen) const {
    return Companion(seen ? bits_ | Seen(by) : bits_ & ~Seen(by));
  }
  constexpr bool loaded() const { return (bits_ & kLoaded) != 0; }
  constexpr Companion WithLoaded(bool loaded) const {
    return Companion(loaded ? bits_ | kLoaded : bits_ & ~kLoaded);
  }
  // Without what is never logged.
  constexpr Companion Logged() const { return Companion(bits_ & ~kNeverLogged); }
  constexpr bool operator==(const Companion&) const = default;

 private:
  static constexpr uint32_t Seen(SeenBy by) {
    return by == SeenBy::kComparison ? 1u << 24 : 1u << 26;
  }
  static constexpr uint32_t kLoaded = 1u << 25;
  static constexpr uint32_t kNeverLogged = 0xffu << 24;
  uint32_t bits_ = 0;
};

inline constexpr uint32_t kReferencesMax = 255;

struct Entry {
  Word word;
  Companion companion;
  // Whether the slot is an entry: in device spaces what was stored to, in allocated ones what was
  // handed out.
  constexpr bool live() const { return word.live() || companion.references() != 0; }
};

}  // namespace vswap
