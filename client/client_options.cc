#include "client/client_options.h"

#include <arpa/inet.h>

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

bool IsEndpoint(std::string_view endpoint, bool numeric) {
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return false;
  }
  const std::string host(endpoint.substr(0, colon));
  const std::string port(endpoint.substr(colon + 1));
  const bool digits = !port.empty() && port.size() <= 5 &&
                      std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  in_addr address{};
  return digits && std::stoi(port) >= 1 && std::stoi(port) <= 65535 &&
         (!numeric || inet_pton(AF_INET, host.c_str(), &address) == 1);
}

Status CheckFrontEnd(const std::string& frontend) {
  const bool several = frontend.find(',') != std::string::npos;
  for (size_t begin = 0; begin <= frontend.size();) {
    const size_t end = std::min(frontend.find(',', begin), frontend.size());
    if (!IsEndpoint(std::string_view(frontend).substr(begin, end - begin), several)) {
      return InvalidField("frontend", "'" + frontend + "'",
                          "HOST:PORT with a port of 1..65535, or several IPV4:PORT,IPV4:PORT");
    }
    begin = end + 1;
  }
  return Status();
}

}  // namespace

Status Validate(const ClientOptions& options) {
  VSWAP_RETURN_IF_ERROR(CheckFrontEnd(options.frontend));
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
