#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace vswap {

using SpaceId = uint64_t;   // from 1; never reused
using Offset = uint64_t;    // slot of a space, in pages, below 2^41
using Version = uint64_t;   // 48 bits, from 1; names one backing; never reused within a shard
using Token = uint64_t;     // fencing token of an attachment, from 1
using Sequence = uint64_t;  // of an attachment's requests, from 1
using Epoch = uint64_t;     // of a shard's owner, from 1
using ShardId = uint32_t;
using SetId = uint16_t;        // 13 bits, from 1; an interned group of nodes
using NodeId = uint32_t;       // from 1
using Incarnation = uint64_t;  // random, lives with a node's data

inline constexpr Version kVersionMax = (Version{1} << 48) - 1;
// A shard's versions come from its log. Where that is lost (ShardRecord.times_given_up), nobody
// knows which were used: those that follow start at the next multiple of this.
inline constexpr Version kVersionsPerLog = Version{1} << 44;
inline constexpr uint32_t kTimesGivenUpMax = (kVersionMax + 1) / kVersionsPerLog - 1;
inline constexpr SetId kSetIdMax = (1 << 13) - 1;
inline constexpr uint32_t kClusterSlots = 512;   // 2 MiB
inline constexpr uint32_t kStripePages = 32768;  // 128 MiB: consecutive slots that share a shard
inline constexpr uint32_t kShardCountMax = 4096;

// Given by the client to each store and kept with the page.
struct Stamp {
  Token token = 0;
  Sequence sequence = 0;
  auto operator<=>(const Stamp&) const = default;
};

// Names one record, on every node.
struct PageName {
  SpaceId space = 0;
  Offset offset = 0;
  Version version = 0;
  auto operator<=>(const PageName&) const = default;
};

struct Extent {
  Offset offset = 0;
  uint32_t pages = 0;
  bool operator==(const Extent&) const = default;
};

// SplitMix64's finalizer (Steele, Lea, Flood 2014): a bijection whose output bits all depend on all
// input bits.
constexpr uint64_t Mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// The shard that owns a slot. Part of the wire contract: clients compute it too.
constexpr ShardId ShardOf(SpaceId space, Offset offset, uint32_t shard_count) {
  return static_cast<ShardId>(Mix64(Mix64(space + 0x9e3779b97f4a7c15u) + offset / kStripePages) %
                              shard_count);
}

struct PageNameHash {
  size_t operator()(const PageName& name) const {
    return Mix64(Mix64(Mix64(name.space) ^ name.offset) ^ name.version);
  }
};

}  // namespace vswap
