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

bool IsEndpoint(std::string_view endpoint) {
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return false;
  }
  const std::string port(endpoint.substr(colon + 1));
  const bool digits = !port.empty() && port.size() <= 5 &&
                      std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  return digits && std::stoi(port) >= 1 && std::stoi(port) <= 65535;
}

Status CheckFrontEnd(const ClientOptions& options) {
  for (const std::string& endpoint : FrontEndsOf(options)) {
    if (!IsEndpoint(endpoint)) {
      return InvalidField("frontend", "'" + options.frontend + "'",
                          "HOST:PORT,... with ports of 1..65535");
    }
  }
  return Status();
}

}  // namespace

std::vector<std::string> FrontEndsOf(const ClientOptions& options) {
  std::vector<std::string> endpoints;
  for (size_t begin = 0; begin <= options.frontend.size();) {
    const size_t end = std::min(options.frontend.find(',', begin), options.frontend.size());
    endpoints.push_back(options.frontend.substr(begin, end - begin));
    begin = end + 1;
  }
  return endpoints;
}

Status Validate(const ClientOptions& options) {
  VSWAP_RETURN_IF_ERROR(CheckFrontEnd(options));
  VSWAP_RETURN_IF_ERROR(CheckName("space", options.space));
  VSWAP_RETURN_IF_ERROR(CheckName("holder", options.holder));
  if (options.create_pages > kSpacePagesMax) {
    return InvalidField("create_pages", std::to_string(options.create_pages), "0..2^41");
  }
  if (options.kind != SpaceKind::kUnset && options.kind != SpaceKind::kDevice &&
      options.kind != SpaceKind::kAllocated) {
    return InvalidField("kind", std::to_string(static_cast<int>(options.kind)),
                        "0 (any), 1 (device), 2 (allocated)");
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
