#pragma once

#include <memory>
#include <string>

#include "services/compressor_parts.h"
#include "services/front_end_parts.h"
#include "services/role.h"
#include "services/store_parts.h"

namespace vswap {

struct StandaloneOptions {
  std::string listen = "127.0.0.1:7410";
  std::string metrics_listen = "127.0.0.1:0";
  std::string data_dir = "/var/lib/vswap";
  StoreOptions store;
  CompressorOptions compressor;
  FrontEndOptions front_end;
  bool keep_arena = false;
};

// All roles in one process, with direct calls between them and a local coordinator: front-end, one
// compressor (node 1, set 1), one store (node 2, set 2) that also keeps the table log. This file
// and standalone.cc are wiring only.
class Standalone : public Role {
 public:
  // Returns when it serves. The errors name the setting that is to be changed.
  static StatusOr<std::unique_ptr<Role>> Start(const StandaloneOptions& options);
  ~Standalone() override;

  const std::string& listen() const override;
  const std::string& metrics() const override;

  // Refuses new requests, finishes those under way, moves compressed pages to the store (unless the
  // arena is to be kept), removes the arena if nothing is left in it, closes the store.
  Status Drain() override;

 private:
  class Parts;
  explicit Standalone(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace vswap
