#include "services/frontend/request_windows.h"

#include <algorithm>
#include <utility>

#include "vswap/v1/tablelog.pb.h"

namespace vswap {
namespace {

std::vector<Extent> Ascending(std::vector<Extent> extents) {
  std::ranges::sort(extents, {}, &Extent::offset);
  return extents;
}

// Both ascending and without a slot twice.
bool Overlap(const std::vector<Extent>& a, const std::vector<Extent>& b) {
  const auto end = [](const Extent& extent) { return extent.offset + extent.pages; };
  if (a.empty() || b.empty() || end(a.back()) <= b.front().offset ||
      end(b.back()) <= a.front().offset) {
    return false;
  }
  for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
    if (end(*x) <= y->offset) {
      ++x;
    } else if (end(*y) <= x->offset) {
      ++y;
    } else {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string EncodeResult(const MutationResult& result) {
  v1::RequestResult record;
  record.set_freed_pages(result.freed_pages);
  record.mutable_codes()->assign(reinterpret_cast<const char*>(result.codes.data()),
                                 result.codes.size());
  record.mutable_offsets()->Assign(result.offsets.begin(), result.offsets.end());
  return record.SerializeAsString();
}

StatusOr<MutationResult> DecodeResult(const std::string& bytes) {
  v1::RequestResult record;
  if (!record.ParseFromString(bytes)) {
    return MakeError(StatusCode::kDataLoss, "table log: the answer to a request cannot be read");
  }
  MutationResult result;
  for (const char code : record.codes()) {
    result.codes.push_back(static_cast<PageCode>(code));
  }
  result.freed_pages = record.freed_pages();
  result.offsets.assign(record.offsets().begin(), record.offsets().end());
  return result;
}

RequestWindows::Admission RequestWindows::Admit(const RequestHeader& header,
                                                const std::vector<Extent>& extents) {
  if (header.sequence - header.floor >= kSequenceSpanMax) {
    return {nullptr, nullptr,
            InvalidField("sequence", std::to_string(header.sequence),
                         "less than " + std::to_string(kSequenceSpanMax) +
                             " above sequence_floor (" + std::to_string(header.floor) + ")")};
  }
  Window& window = windows_[header.space];
  window.token = header.token;
  RaiseFloor(header.space, window, header.floor);
  if (header.sequence < window.floor) {
    return {nullptr, nullptr,
            MakeError(ErrorReason::kSuperseded, "sequence " + std::to_string(header.sequence) +
                                                    " is below the floor " +
                                                    std::to_string(window.floor))};
  }
  if (const auto known = window.requests.find(header.sequence); known != window.requests.end()) {
    return {nullptr, known->second, Status()};
  }
  std::vector<Extent> ascending = Ascending(extents);
  for (auto later = window.requests.upper_bound(header.sequence); later != window.requests.end();
       ++later) {
    if (Overlap(ascending, later->second->extents)) {
      return {nullptr, nullptr,
              MakeError(ErrorReason::kSuperseded,
                        "sequence " + std::to_string(header.sequence) + " is older than request " +
                            std::to_string(later->first) + " on the same slots")};
    }
  }
  auto request = std::make_shared<Request>();
  request->sequence = header.sequence;
  request->extents = std::move(ascending);
  window.requests.emplace(header.sequence, request);
  return {std::move(request), nullptr, Status()};
}

void RequestWindows::RaiseFloor(SpaceId space, Window& window, Sequence floor) {
  if (floor <= window.floor) {
    return;
  }
  window.floor = floor;
  const auto end = window.requests.lower_bound(floor);
  for (auto it = window.requests.begin(); it != end; ++it) {
    Forget(space, window, *it->second);
  }
  window.requests.erase(window.requests.begin(), end);
}

void RequestWindows::Forget(SpaceId space, const Window& window, const Request& request) {
  if (request.logged) {
    forgotten_.push_back({space, window.token, request.sequence});
  }
}

void RequestWindows::Withdraw(const RequestHeader& header) {
  windows_[header.space].requests.erase(header.sequence);
}

void RequestWindows::Reset(SpaceId space, Token token) {
  Window& window = windows_[space];
  // Requests under way answer whoever waits for them; what they log is forgotten then.
  for (const auto& [sequence, request] : window.requests) {
    Forget(space, window, *request);
  }
  window = {token, 0, {}};
}

void RequestWindows::NoteLogged(const RequestRecord& answer) {
  const RequestName& name = answer.name;
  const auto window = windows_.find(name.space);
  if (window != windows_.end() && window->second.token == name.token) {
    const auto request = window->second.requests.find(name.sequence);
    if (request != window->second.requests.end()) {
      request->second->logged = true;
      request->second->log_bytes = answer.result;
      return;
    }
  }
  forgotten_.push_back(name);
}

Status RequestWindows::Restore(const RequestRecord& record, Token current) {
  if (record.name.token != current) {
    forgotten_.push_back(record.name);
    return Status();
  }
  StatusOr<MutationResult> result = DecodeResult(record.result);
  if (!result.ok()) {
    return result.status();
  }
  auto request = std::make_shared<Request>();
  request->sequence = record.name.sequence;
  request->finished = true;
  request->logged = true;
  request->log_bytes = record.result;
  request->result = *std::move(result);
  Window& window = windows_[record.name.space];
  window.token = current;
  window.requests[record.name.sequence] = std::move(request);
  return Status();
}

std::vector<RequestName> RequestWindows::Logged() const {
  std::vector<RequestName> names;
  for (const auto& [space, window] : windows_) {
    for (const auto& [sequence, request] : window.requests) {
      if (request->logged) {
        names.push_back({space, window.token, sequence});
      }
    }
  }
  return names;
}

std::optional<RequestRecord> RequestWindows::FindLogged(const RequestName& name) const {
  const auto window = windows_.find(name.space);
  if (window == windows_.end() || window->second.token != name.token) {
    return std::nullopt;
  }
  const auto request = window->second.requests.find(name.sequence);
  if (request == window->second.requests.end() || !request->second->logged) {
    return std::nullopt;
  }
  return RequestRecord{name, request->second->log_bytes};
}

std::vector<RequestName> RequestWindows::TakeForgotten(size_t count_max) {
  std::vector<RequestName> taken;
  if (forgotten_.size() <= count_max) {
    taken.swap(forgotten_);
  } else {
    const auto begin = forgotten_.end() - static_cast<ptrdiff_t>(count_max);
    taken.assign(begin, forgotten_.end());
    forgotten_.erase(begin, forgotten_.end());
  }
  return taken;
}

}  // namespace vswap
