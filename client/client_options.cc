#include "client/client_options.h"

#include <algorithm>
#include <string_view>

#include "services/common/page.h"

namespace vswap {
namespace {

constexpr uint64_t kBatchesMax = 65536;

Status CheckName(std::string_view field, const std::string& name) {
  return !name.empty() && name.size() <= kNameBytesMax
             ? Status()
             : InvalidField(field, std::to_string(name.size()) + " bytes long", "1..255 bytes");
}

Status CheckEndpoint(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  const std::string port = colon == std::string::npos ? "" : endpoint.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  if (colon == 0 || !digits || std::stoi(port) < 1 || std::stoi(port) > 65535) {
    return InvalidField("frontend", "'" + endpoint + "'", "HOST:PORT with a port of 1..65535");
  }
  return Status();
}

}  // namespace

Status Validate(const ClientOptions& options) {
  VSWAP_RETURN_IF_ERROR(CheckEndpoint(options.frontend));
  VSWAP_RETURN_IF_ERROR(CheckName("space", options.space));
  VSWAP_RETURN_IF_ERROR(CheckName("holder", options.holder));
  if (options.create_pages > kSpacePagesMax) {
    return InvalidField("create_pages", std::to_string(options.create_pages), "0..2^41");
  }
  if (options.patience <= Duration::zero()) {
    return InvalidField("patience", std::to_string(options.patience.count()) + " ns", "above 0");
  }
  if (options.pages_max == 0) {
    return InvalidField("pages_max", "0", "1 and up");
  }
  if (options.batches_max == 0 || options.batches_max > kBatchesMax) {
    return InvalidField("batches_max", std::to_string(options.batches_max), "1..65536");
  }
  return Status();
}

}  // namespace vswap
