#include "services/common/status.h"

#include "absl/strings/cord.h"

namespace vswap {
namespace {

constexpr char kReasonUrl[] = "vswap.v1.ErrorReason";

absl::string_view Glue(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

StatusCode CanonicalCode(ErrorReason reason) {
  switch (reason) {
    case ErrorReason::kNone:
      return StatusCode::kUnknown;
    case ErrorReason::kFenced:
    case ErrorReason::kSuperseded:
      return StatusCode::kAborted;
    case ErrorReason::kStaleEpoch:
    case ErrorReason::kNotServing:
    case ErrorReason::kNotOwner:
      return StatusCode::kUnavailable;
    case ErrorReason::kAttached:
    case ErrorReason::kMixed:
      return StatusCode::kFailedPrecondition;
    case ErrorReason::kUnknownSpace:
      return StatusCode::kNotFound;
  }
  return StatusCode::kUnknown;
}

Status MakeError(StatusCode code, std::string_view message) { return Status(code, Glue(message)); }

Status MakeError(StatusCode code, ErrorReason reason, std::string_view message) {
  Status status(code, Glue(message));
  if (reason != ErrorReason::kNone) {
    status.SetPayload(kReasonUrl, absl::Cord(std::string(1, static_cast<char>(reason))));
  }
  return status;
}

Status MakeError(ErrorReason reason, std::string_view message) {
  return MakeError(CanonicalCode(reason), reason, message);
}

ErrorReason ReasonOf(const Status& status) {
  const auto payload = status.GetPayload(kReasonUrl);
  return payload && payload->size() == 1 ? static_cast<ErrorReason>((*payload)[0])
                                         : ErrorReason::kNone;
}

Status InvalidField(std::string_view field, std::string_view value, std::string_view allowed) {
  std::string message(field);
  message.append(" is ").append(value).append(", allowed: ").append(allowed);
  return MakeError(StatusCode::kInvalidArgument, message);
}

}  // namespace vswap
