#pragma once

#include <memory>
#include <string>

#include "services/common/status.h"

namespace vswap {

struct StandaloneOptions {
  std::string listen = "127.0.0.1:7410";
  std::string metrics_listen = "127.0.0.1:0";
  std::string data_dir = "/var/lib/vswap";
  std::string arena;                            // empty: /dev/shm/vswap-ID
  uint64_t memory_max = uint64_t{256} << 20;    // bytes of the compressed tier
  uint64_t capacity_pages = uint64_t{1} << 18;  // of the physical tier; 1 GiB
  uint64_t block_cache = uint64_t{64} << 20;    // bytes
  uint64_t shards = 64;                         // of a new data directory
  uint64_t threads = 0;                         // 0: as many as processors
  uint64_t writeback_percent = 95;              // fill of the arena; 100: off
  uint64_t drain_seconds = 30;                  // less than clients are patient: 60
  bool keep_arena = false;
  bool allow_swappable = false;
  bool sync_log = false;
  bool discard_data = false;
};

// All roles in one process, with direct calls between them and a local coordinator: front-end, one
// compressor (node 1, set 1), one store (node 2, set 2) that also keeps the table log. This file
// and standalone.cc are wiring only.
//
// Externally synchronised. Destruction without Drain leaves what kill -9 would leave.
class Standalone {
 public:
  // Returns when it serves. The errors name the setting that is to be changed.
  static StatusOr<std::unique_ptr<Standalone>> Start(const StandaloneOptions& options);
  ~Standalone();

  // HOST:PORT, as bound.
  const std::string& listen() const;
  const std::string& metrics() const;

  // A clean stop: refuses new requests, finishes those under way, moves compressed pages to the
  // store (unless the arena is to be kept), removes the arena if nothing is left in it, closes the
  // store. Nothing else may be called afterwards.
  Status Drain();

 private:
  class Parts;
  explicit Standalone(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace vswap
