#pragma once

#include <string>

#include "services/common/status.h"

namespace vswap {

// What a vswapd process is: it serves until it is drained. Externally synchronised. Destruction
// without Drain leaves what kill -9 would leave.
class Role {
 public:
  virtual ~Role() = default;
  // HOST:PORT, as bound.
  virtual const std::string& listen() const = 0;
  virtual const std::string& metrics() const = 0;
  // A clean stop. Nothing else may be called afterwards.
  virtual Status Drain() = 0;
};

}  // namespace vswap
