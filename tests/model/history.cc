#include "tests/model/history.h"

#include <algorithm>
#include <cstring>

#include "services/common/thread_pool.h"

namespace vswap {
namespace {

constexpr size_t kWrongPagesMax = 20;
constexpr size_t kPruneFrom = 16;

struct Label {
  SpaceId space = 0;
  Offset offset = 0;
  History::Content content = 0;
  uint64_t shrinks = 0;
};

}  // namespace

PageBytes History::MakeContent(SpaceId space, Offset offset, Content content, bool shrinks) {
  if (content == 0) {
    return ZeroPage();
  }
  PageBytes bytes(kPageBytes, static_cast<std::byte>(Mix64(content)));
  const Label label{space, offset, content, shrinks};
  std::memcpy(bytes.data(), &label, sizeof(label));
  SeededRandom random(Mix64(Mix64(space) ^ offset) ^ content);
  const size_t noise_end = shrinks ? 256 : kPageBytes;
  for (size_t at = sizeof(label); at + sizeof(uint64_t) <= noise_end; at += sizeof(uint64_t)) {
    const uint64_t noise = random.Next64();
    std::memcpy(bytes.data() + at, &noise, sizeof(noise));
  }
  return bytes;
}

History::Content History::ContentOf(const PageBytes& bytes) {
  Label label;
  std::memcpy(&label, bytes.data(), sizeof(label));
  return label.content;
}

History::WriteId History::BeginWrite(Offset offset, Content content) {
  std::vector<Write>& writes = slots_[offset];
  if (writes.empty()) {
    Write zero;
    zero.ended = 0;
    zero.applied = true;
    zero.over = true;
    writes.push_back(zero);
  }
  Prune(writes);
  Write write;
  write.id = next_write_++;
  write.content = content;
  write.began = now_++;
  writes.push_back(write);
  return write.id;
}

void History::EndWrite(Offset offset, WriteId id, Outcome outcome) {
  std::vector<Write>& writes = slots_[offset];
  const auto write = std::ranges::find(writes, id, &Write::id);
  if (write == writes.end()) {
    return Wrong(offset,
                 "write " + std::to_string(id) + " was answered after it was observed over");
  }
  write->ended = now_++;
  write->applied = outcome == Outcome::kApplied;
  write->over = outcome == Outcome::kApplied || outcome == Outcome::kOver;
  write->not_applied = outcome == Outcome::kNot;
  if (write->not_applied && write->observed != kNever) {
    Wrong(offset, "content " + std::to_string(write->content) + " was loaded and then refused");
  }
}

History::LoadId History::BeginLoad() {
  const LoadId load = now_++;
  loads_[load] = load;
  return load;
}

void History::EndLoad(LoadId load) { loads_.erase(load); }

bool History::MayReturn(const std::vector<Write>& writes, const Write& write,
                        Time load_began) const {
  if (write.not_applied || write.replaced < load_began) {
    return false;
  }
  return std::ranges::none_of(writes, [&](const Write& later) {
    return write.over_at() < later.began && later.certain_at() < load_began;
  });
}

void History::Observe(std::vector<Write>& writes, Write& write, Time load_began) {
  const Time now = now_++;
  write.observed = std::min(write.observed, now);
  for (Write& other : writes) {
    const bool was_there = other.observed < load_began || (other.over && other.ended < load_began);
    if (other.id != write.id && was_there) {
      other.replaced = std::min(other.replaced, now);
    }
  }
}

void History::CheckPage(LoadId load, Offset offset, const PageBytes& bytes) {
  ++pages_checked_;
  const bool zero = bytes == ZeroPage();
  Label label;
  std::memcpy(&label, bytes.data(), sizeof(label));
  if (!zero && bytes != MakeContent(space_, offset, label.content, label.shrinks != 0)) {
    return Wrong(offset, "its bytes are of space " + std::to_string(label.space) + " offset " +
                             std::to_string(label.offset) + " content " +
                             std::to_string(label.content) + ", or damaged");
  }
  const auto slot = slots_.find(offset);
  if (slot == slots_.end()) {
    return zero ? void() : Wrong(offset, "it was never stored to");
  }
  std::vector<Write>& writes = slot->second;
  std::vector<Write*> candidates;
  for (Write& write : writes) {
    if (write.content == label.content && MayReturn(writes, write, loads_.at(load))) {
      candidates.push_back(&write);
    }
  }
  if (candidates.empty()) {
    return Wrong(offset, "content " + std::to_string(label.content) +
                             " is not the last one for a load since " +
                             std::to_string(loads_.at(load)) + Describe(writes));
  }
  if (candidates.size() == 1) {  // of several zeros nobody knows which one it was
    Observe(writes, *candidates[0], loads_.at(load));
  }
}

History::Candidates History::MayReturn(LoadId load, Offset offset) const {
  const auto slot = slots_.find(offset);
  if (slot == slots_.end()) {
    return {.zeros = true, .others = false};
  }
  Candidates may;
  for (const Write& write : slot->second) {
    if (MayReturn(slot->second, write, loads_.at(load))) {
      (write.content == 0 ? may.zeros : may.others) = true;
    }
  }
  return may;
}

bool History::MayReturn(LoadId load, Offset offset, Content content) const {
  const auto slot = slots_.find(offset);
  return slot != slots_.end() && std::ranges::any_of(slot->second, [&](const Write& write) {
           return write.content == content && MayReturn(slot->second, write, loads_.at(load));
         });
}

// Forgets writes that no load may return, now or later: one that is looked for and forgotten is not
// the last one.
void History::Prune(std::vector<Write>& writes) {
  if (writes.size() < kPruneFrom) {
    return;
  }
  const Time oldest_load = loads_.empty() ? now_ : loads_.begin()->second;
  const std::vector<Write> all = writes;
  std::erase_if(writes, [&](const Write& write) {
    return write.ended != kNever && !MayReturn(all, write, oldest_load);
  });
}

std::vector<Offset> History::SlotsWritten() const {
  std::vector<Offset> offsets;
  for (const auto& [offset, writes] : slots_) {
    offsets.push_back(offset);
  }
  return offsets;
}

std::string History::Describe(const std::vector<Write>& writes) {
  const auto text = [](Time time) { return time == kNever ? "-" : std::to_string(time); };
  std::string lines;
  for (const Write& write : writes) {
    lines += "\n  content " + std::to_string(write.content) + ": began " + text(write.began) +
             ", answered " + text(write.ended) + (write.applied ? " stored" : "") +
             (write.not_applied ? " refused" : "") + ", loaded " + text(write.observed) +
             ", found replaced " + text(write.replaced);
  }
  return lines;
}

void History::Wrong(Offset offset, const std::string& what) {
  if (wrong_pages_.size() < kWrongPagesMax) {
    wrong_pages_.push_back("space " + std::to_string(space_) + " offset " + std::to_string(offset) +
                           ": " + what);
  }
}

}  // namespace vswap
