#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The one header that knows absl's Status and its string_view.
namespace vswap {

using absl::Status;
using absl::StatusCode;
using absl::StatusOr;

// Why a whole request was refused; the numbers of vswap.v1.ErrorReason.
enum class ErrorReason : uint8_t {
  kNone = 0,
  kFenced = 1,
  kStaleEpoch = 2,
  kSuperseded = 3,
  kAttached = 4,
  kUnknownSpace = 5,
  kNotServing = 6,
  kMixed = 7,
  kNotOwner = 8,
};

// A status with a reason attached (as an absl payload). The canonical codes: fenced and superseded
// ABORTED, stale epoch, not serving and not owner UNAVAILABLE, attached and mixed
// FAILED_PRECONDITION, unknown space NOT_FOUND.
[[nodiscard]] Status MakeError(ErrorReason reason, std::string_view message);
[[nodiscard]] Status MakeError(StatusCode code, ErrorReason reason, std::string_view message);
[[nodiscard]] Status MakeError(StatusCode code, std::string_view message);
[[nodiscard]] ErrorReason ReasonOf(const Status& status);
[[nodiscard]] StatusCode CanonicalCode(ErrorReason reason);

// Bad input: "FIELD is VALUE, allowed: RANGE".
[[nodiscard]] Status InvalidField(std::string_view field, std::string_view value,
                                  std::string_view allowed);

inline std::string_view MessageOf(const Status& status) {
  return {status.message().data(), status.message().size()};
}

#define VSWAP_RETURN_IF_ERROR(expression)                     \
  do {                                                        \
    if (::absl::Status status_ = (expression); !status_.ok()) \
      return status_;                                         \
  } while (false)

}  // namespace vswap
