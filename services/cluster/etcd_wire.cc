#include "services/cluster/etcd_wire.h"

#include "services/common/numbers.h"

namespace vswap {
namespace {

constexpr uint64_t kPortMax = 65535;
constexpr size_t kKeysNamedMax = 3;

bool IsEndpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || text.find('/') != std::string_view::npos) {
    return false;
  }
  const auto port = ParseCount(text.substr(colon + 1));
  return port && *port >= 1 && *port <= kPortMax;
}

}  // namespace

StatusOr<std::vector<std::string>> ParseEtcdEndpoints(std::string_view text) {
  std::vector<std::string> endpoints;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view endpoint = text.substr(begin, end - begin);
    if (!IsEndpoint(endpoint)) {
      return InvalidField("etcd", "'" + std::string(endpoint) + "'", "HOST:PORT,HOST:PORT");
    }
    endpoints.emplace_back(endpoint);
    begin = end + 1;
  }
  return endpoints;
}

EtcdRange RangeOf(const std::string& prefix) {
  const std::string zero(1, '\0');
  std::string end = prefix;
  while (!end.empty() && end.back() == '\xff') {
    end.pop_back();
  }
  if (end.empty()) {
    return {prefix.empty() ? zero : prefix, zero};
  }
  end.back() = static_cast<char>(end.back() + 1);
  return {prefix, end};
}

etcdserverpb::TxnRequest ToTxn(const std::string& root, const Transaction& transaction) {
  etcdserverpb::TxnRequest request;
  for (const Transaction::Compare& compare : transaction.compares) {
    etcdserverpb::Compare* const out = request.add_compare();
    out->set_result(etcdserverpb::Compare::EQUAL);
    out->set_target(etcdserverpb::Compare::MOD);
    out->set_key(root + compare.key);
    out->set_mod_revision(static_cast<int64_t>(compare.revision));
  }
  for (const Transaction::Put& put : transaction.puts) {
    etcdserverpb::PutRequest* const out = request.add_success()->mutable_request_put();
    out->set_key(root + put.key);
    out->set_value(put.value);
    out->set_lease(static_cast<int64_t>(put.lease));
  }
  for (const std::string& key : transaction.deletes) {
    request.add_success()->mutable_request_delete_range()->set_key(root + key);
  }
  return request;
}

KeyValue ToRecord(const std::string& root, const mvccpb::KeyValue& found) {
  return {found.key().substr(std::min(root.size(), found.key().size())), found.value(),
          static_cast<uint64_t>(found.mod_revision())};
}

std::vector<WatchEvent> ToEvents(const std::string& root, uint64_t from_revision,
                                 const etcdserverpb::WatchResponse& response) {
  std::vector<WatchEvent> events;
  for (const mvccpb::Event& event : response.events()) {
    KeyValue record = ToRecord(root, event.kv());
    if (record.revision < from_revision) {
      continue;
    }
    const bool put = event.type() == mvccpb::Event::PUT;
    events.push_back({std::move(record.key),
                      put ? std::optional<std::string>(std::move(record.value)) : std::nullopt,
                      record.revision});
  }
  return events;
}

int64_t ToSeconds(Duration ttl) { return std::chrono::ceil<std::chrono::seconds>(ttl).count(); }

std::string KeysOf(const Transaction& transaction) {
  std::vector<std::string_view> keys;
  for (const Transaction::Put& put : transaction.puts) {
    keys.push_back(put.key);
  }
  keys.insert(keys.end(), transaction.deletes.begin(), transaction.deletes.end());
  if (keys.empty()) {
    for (const Transaction::Compare& compare : transaction.compares) {
      keys.push_back(compare.key);
    }
  }
  std::string text;
  for (size_t i = 0; i < std::min(keys.size(), kKeysNamedMax); ++i) {
    text.append(i == 0 ? "" : ", ").append(keys[i]);
  }
  return keys.size() <= kKeysNamedMax
             ? text
             : text + " and " + std::to_string(keys.size() - kKeysNamedMax) + " more";
}

}  // namespace vswap
