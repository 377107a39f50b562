#include "services/frontend/shard.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace vswap {
namespace {

// Slots in one log write, purges, and answers: together about 1.8 MiB, which must fit a message to
// a replica in another process; and a bound on the time the lock is held to publish them. More than
// any one request changes.
constexpr size_t kWriteSlotsMax = 49152;
static_assert(kWriteSlotsMax >= kStripePages);
constexpr size_t kWritePurgesMax = 16384;
constexpr size_t kWriteAnswersMax = 64;
// What a write tells a replica that joins, beside.
constexpr size_t kFillSlotsMax = 8 * kClusterSlots;

// Of a slot of a space that was given up: lost, with nobody to ask. It may have any number of
// references, so in an allocated space nothing can be stored to it, and none added.
constexpr Entry kGivenUpEntry{Word(Backing::kLost, 0, 0),
                              Companion().WithReferences(kReferencesMax)};

Status NotServing() {
  return MakeError(ErrorReason::kNotServing, "the shard is not served here now");
}

Status Busy(Offset offset) {
  return MakeError(ErrorReason::kNotServing,
                   "slot " + std::to_string(offset) + " is being changed: try again");
}

std::vector<Offset> OffsetsOf(const std::vector<Extent>& extents) {
  std::vector<Offset> offsets;
  for (const Extent& extent : extents) {
    for (uint32_t i = 0; i < extent.pages; ++i) {
      offsets.push_back(extent.offset + i);
    }
  }
  return offsets;
}

}  // namespace

Shard::Shard(Options options, std::vector<TableLog*> replicas, Executor& executor)
    : options_(std::move(options)), executor_(executor) {
  for (TableLog* log : replicas) {
    replicas_.push_back({log, nullptr});
  }
}

void Shard::Restore(const LogEnd& end) {
  MutexLock lock(mutex_);
  last_sequence_ = end.last_sequence;
  next_version_ = versions_end_ = std::max<Version>(1, end.versions_reserved);
  for (const TokenRecord& token : end.tokens) {
    tokens_[token.space] = token.token;
  }
}

Status Shard::Restore(const SlotRecord& record) {
  const Word word(record.word);
  MutexLock lock(mutex_);
  if (!word.valid() || word.version() >= next_version_) {
    return MakeError(StatusCode::kDataLoss,
                     "table log: shard " + std::to_string(options_.id) + " slot " +
                         std::to_string(record.offset) + " of space " +
                         std::to_string(record.space) +
                         " has a word that was never issued: the log is damaged");
  }
  table_.Publish(record.space, record.offset, {word, Companion(record.companion)});
  if (!Entry{word, Companion(record.companion)}.live()) {
    purges_.push_back({{record.space, record.offset}, word.version()});
  }
  return Status();
}

Status Shard::Restore(const RequestRecord& record) {
  MutexLock lock(mutex_);
  const auto token = tokens_.find(record.name.space);
  return windows_.Restore(record, token == tokens_.end() ? 0 : token->second);
}

void Shard::Start(std::function<void(Status)> done) {
  {
    MutexLock lock(mutex_);
    serving_ = !failed_;
  }
  Barrier(std::move(done));
}

void Shard::Stop() {
  MutexLock lock(mutex_);
  serving_ = false;
}

bool Shard::Idle() const {
  MutexLock lock(mutex_);
  return failed_ || (under_way_ == 0 && queue_.empty() && writing_ == nullptr);
}

bool Shard::failed() const {
  MutexLock lock(mutex_);
  return failed_;
}

void Shard::Discard() {
  std::deque<QueueEntry> dropped;
  std::shared_ptr<WriteUnderWay> undecided;
  MutexLock lock(mutex_);
  failed_ = true;
  dropped.swap(queue_);
  undecided.swap(writing_);
}

Status Shard::CheckHeader(const RequestHeader& header) const {
  if (!serving_) {
    return NotServing();
  }
  if (header.epoch != options_.epoch) {
    return MakeError(ErrorReason::kStaleEpoch, "shard_epoch is " + std::to_string(header.epoch) +
                                                   ", the owner's is " +
                                                   std::to_string(options_.epoch));
  }
  const auto token = tokens_.find(header.space);
  const Token current = token == tokens_.end() ? 0 : token->second;
  if (header.token < current) {
    return MakeError(ErrorReason::kFenced, "token " + std::to_string(header.token) +
                                               " is fenced: the space has been opened again");
  }
  if (header.token > current) {
    return InvalidField("token", std::to_string(header.token), "a token that Open returned");
  }
  return Status();
}

Entry Shard::OrGivenUp(SpaceId space, const Entry& entry) const {
  return entry.live() || !GivenUp(space) ? entry : kGivenUpEntry;
}

Entry Shard::EntryOf(SpaceId space, Offset offset) const {
  return OrGivenUp(space, table_.Get(space, offset));
}

Status Shard::CheckRead(const RequestHeader& header) const {
  MutexLock lock(mutex_);
  return CheckHeader(header);
}

std::shared_ptr<Request> Shard::AdmitWith(const RequestHeader& header,
                                          const std::vector<Extent>& extents, MutationDone done,
                                          const std::function<Status()>& begin) {
  MutationResult answer;
  {
    MutexLock lock(mutex_);
    RequestWindows::Admission admission;
    admission.refusal = CheckHeader(header);
    if (admission.refusal.ok()) {
      admission = windows_.Admit(header, extents);
    }
    answer.status = std::move(admission.refusal);
    if (admission.request) {
      answer.status = begin();
      if (answer.status.ok()) {
        admission.request->waiting.push_back(std::move(done));
        return admission.request;
      }
      if (ReasonOf(answer.status) == ErrorReason::kNotServing) {
        windows_.Withdraw(header);
      } else {
        // That was the answer: a late duplicate must not do what its client was told was not done.
        admission.request->finished = true;
        admission.request->result = answer;
      }
    } else if (const auto& duplicate = admission.duplicate; duplicate && duplicate->finished) {
      answer = duplicate->result;
    } else if (duplicate && duplicate->waiting.size() < RequestWindows::kDuplicatesMax) {
      duplicate->waiting.push_back(std::move(done));
      return nullptr;
    } else if (duplicate) {
      answer.status = MakeError(ErrorReason::kNotServing,
                                "too many duplicates of one request wait for its answer");
    }
  }
  Pump();  // for want of versions, nothing else may ask for them
  done(answer);
  return nullptr;
}

std::shared_ptr<Request> Shard::AdmitStore(const RequestHeader& header,
                                           const std::vector<Extent>& extents, SpaceKind kind,
                                           std::vector<BegunSlot>* slots, MutationDone done) {
  return AdmitWith(header, extents, std::move(done), [&] {
    mutex_.AssertHeld();
    const std::vector<Offset> offsets = OffsetsOf(extents);
    VSWAP_RETURN_IF_ERROR(CheckVersions(offsets.size()));
    if (kind == SpaceKind::kAllocated) {
      VSWAP_RETURN_IF_ERROR(CheckNotBusy(header.space, offsets, false));
    }
    slots->reserve(offsets.size());
    for (const Offset offset : offsets) {
      const Entry entry = EntryOf(header.space, offset);
      if (kind == SpaceKind::kAllocated && !entry.live()) {
        slots->push_back({offset, 0, entry, PageCode::kNotFound});
      } else if (kind == SpaceKind::kAllocated && entry.companion.references() > 1) {
        slots->push_back({offset, 0, entry, PageCode::kFailedPrecondition});
      } else {
        BeginSlot(header.space, offset, false, slots);
      }
    }
    return Status();
  });
}

std::shared_ptr<Request> Shard::AdmitFree(const RequestHeader& header,
                                          const std::vector<Extent>& extents, SpaceKind kind,
                                          std::vector<BegunSlot>* slots, MutationDone done) {
  return AdmitWith(header, extents, std::move(done), [&] {
    mutex_.AssertHeld();
    const bool allocated = kind == SpaceKind::kAllocated;
    std::vector<Offset> offsets;
    if (GivenUp(header.space)) {
      // No entry is left of an allocated one, and none is made.
      for (const Offset offset : allocated ? std::vector<Offset>() : OffsetsOf(extents)) {
        if (EntryOf(header.space, offset).word.kind() != Backing::kZero ||
            table_.FindInFlight(header.space, offset) != nullptr) {
          offsets.push_back(offset);
        }
      }
    } else {
      for (const Extent& extent : extents) {
        table_.ForEach(header.space, extent, [&](Offset offset, const Entry& entry) {
          mutex_.AssertHeld();
          if (entry.live() || table_.FindInFlight(header.space, offset) != nullptr) {
            offsets.push_back(offset);
          }
        });
      }
    }
    VSWAP_RETURN_IF_ERROR(CheckVersions(offsets.size()));
    if (allocated) {
      VSWAP_RETURN_IF_ERROR(CheckNotBusy(header.space, offsets, true));
    }
    slots->reserve(offsets.size());
    for (const Offset offset : offsets) {
      BeginSlot(header.space, offset, allocated, slots);
    }
    return Status();
  });
}

std::shared_ptr<Request> Shard::AdmitDuplicate(const RequestHeader& header,
                                               const std::vector<Extent>& extents,
                                               std::vector<BegunSlot>* slots, MutationDone done) {
  return AdmitWith(header, extents, std::move(done), [&] {
    mutex_.AssertHeld();
    const std::vector<Offset> offsets = OffsetsOf(extents);
    VSWAP_RETURN_IF_ERROR(CheckVersions(offsets.size()));
    VSWAP_RETURN_IF_ERROR(CheckNotBusy(header.space, offsets, true));
    slots->reserve(offsets.size());
    for (const Offset offset : offsets) {
      const Entry entry = EntryOf(header.space, offset);
      if (!entry.live()) {
        slots->push_back({offset, 0, entry, PageCode::kNotFound});
      } else if (entry.companion.references() == kReferencesMax) {
        slots->push_back({offset, 0, entry, PageCode::kResourceExhausted});
      } else {
        BeginSlot(header.space, offset, true, slots);
      }
    }
    return Status();
  });
}

std::shared_ptr<Request> Shard::AdmitAllocate(const RequestHeader& header,
                                              const AllocateShape& shape,
                                              std::vector<BegunSlot>* slots, MutationDone done) {
  return AdmitWith(header, {}, std::move(done), [&] {
    mutex_.AssertHeld();
    return BeginAllocation(header, shape, slots);
  });
}

Status Shard::BeginAllocation(const RequestHeader& header, const AllocateShape& shape,
                              std::vector<BegunSlot>* slots) {
  if (GivenUp(header.space)) {
    return MakeError(StatusCode::kResourceExhausted,
                     "the space's part of shard " + std::to_string(options_.id) + " was given up");
  }
  VSWAP_RETURN_IF_ERROR(CheckVersions(size_t{shape.count} << shape.order));
  auto allocator = allocators_.find(header.space);
  if (allocator == allocators_.end()) {
    const EntryAllocator::Place place{header.space, shape.space_pages, options_.id,
                                      shape.shard_count};
    allocator = allocators_.try_emplace(header.space, place, table_).first;
  }
  for (uint32_t i = 0; i < shape.count; ++i) {
    const std::optional<Offset> found = allocator->second.Find(table_, shape.order);
    if (!found) {
      break;
    }
    for (Offset offset = *found; offset < *found + (Offset{1} << shape.order); ++offset) {
      BeginSlot(header.space, offset, true, slots);
    }
  }
  return slots->empty() ? MakeError(StatusCode::kResourceExhausted,
                                    "no free extent of order " + std::to_string(shape.order) +
                                        " in shard " + std::to_string(options_.id))
                        : Status();
}

Status Shard::CheckVersions(size_t count) const {
  if (next_version_ + count > options_.versions_limit) {
    return MakeError(StatusCode::kResourceExhausted,
                     "shard " + std::to_string(options_.id) + " has used up its versions");
  }
  return next_version_ + count > versions_end_
             ? MakeError(ErrorReason::kNotServing, "the shard waits for a reservation of versions")
             : Status();
}

Status Shard::CheckNotBusy(SpaceId space, const std::vector<Offset>& offsets,
                           bool exclusive) const {
  for (const Offset offset : offsets) {
    const EntryTable::InFlight* const change = table_.FindInFlight(space, offset);
    if (change != nullptr && (exclusive || change->exclusive)) {
      return Busy(offset);
    }
  }
  return Status();
}

void Shard::BeginSlot(SpaceId space, Offset offset, bool exclusive, std::vector<BegunSlot>* slots) {
  EntryTable::InFlight& change = table_.InFlightOf(space, offset);
  ++change.count;
  change.exclusive = exclusive;
  ++under_way_;
  slots->push_back({offset, next_version_++, EntryOf(space, offset)});
}

void Shard::SettleOne(SpaceId space, Offset offset) {
  EntryTable::InFlight& change = table_.InFlightOf(space, offset);
  --under_way_;
  if (--change.count == 0) {
    table_.Settle(space, offset);
  }
}

void Shard::Finish(const std::shared_ptr<Request>& request, MutationResult result) {
  std::vector<MutationDone> waiting;
  {
    MutexLock lock(mutex_);
    request->finished = true;
    request->result = result;
    waiting.swap(request->waiting);
  }
  for (const MutationDone& done : waiting) {
    done(result);
  }
}

void Shard::Push(QueueEntry entry) { queue_.push_back(std::move(entry)); }

Status Shard::Enqueue(SpaceId space, Token token, const std::vector<SlotRecord>& records,
                      Published published, std::optional<RequestRecord> answer) {
  {
    MutexLock lock(mutex_);
    if (failed_) {
      return NotServing();
    }
    if (tokens_[space] != token) {
      return MakeError(ErrorReason::kFenced, "the space was opened again meanwhile");
    }
    QueueEntry entry;
    entry.published = std::move(published);
    entry.answer = std::move(answer);
    for (const SlotRecord& record : records) {
      const Word word(record.word);
      EntryTable::InFlight& change = table_.InFlightOf(space, record.offset);
      if (word.version() < change.enqueued) {
        if (word.stored()) {
          entry.retired.push_back({word.set(), {space, record.offset, word.version()}});
        }
        ++overtaken_;
        SettleOne(space, record.offset);
      } else {
        change.enqueued = word.version();
        entry.slots.push_back(record);
      }
    }
    Push(std::move(entry));
  }
  Pump();
  return Status();
}

void Shard::Abandon(SpaceId space, const std::vector<BegunSlot>& slots) {
  MutexLock lock(mutex_);
  for (const BegunSlot& slot : slots) {
    SettleOne(space, slot.offset);
    NoteFreed(space, slot.offset);
  }
}

std::vector<bool> Shard::EnqueueIfUnchanged(const std::vector<Conditional>& conditionals,
                                            Published published) {
  std::vector<bool> enqueued;
  bool failed = false;
  {
    MutexLock lock(mutex_);
    failed = failed_;
    QueueEntry entry;
    for (const Conditional& conditional : conditionals) {
      SlotRecord record = conditional.record;
      const Entry current = table_.Get(record.space, record.offset);
      record.companion =
          Companion(record.companion).WithReferences(current.companion.references()).bits();
      const bool unchanged = !failed && current.word == conditional.expected &&
                             table_.FindInFlight(record.space, record.offset) == nullptr;
      enqueued.push_back(unchanged);
      if (unchanged) {
        EntryTable::InFlight& change = table_.InFlightOf(record.space, record.offset);
        change.count = 1;
        change.enqueued = Word(record.word).version();
        ++under_way_;
        entry.slots.push_back(record);
      }
    }
    if (!failed) {
      entry.published = std::move(published);
      Push(std::move(entry));
    }
  }
  if (failed) {
    published(NotServing(), {});
  } else {
    Pump();
  }
  return enqueued;
}

void Shard::Barrier(std::function<void(Status)> done) {
  EnqueueIfUnchanged({}, [done = std::move(done)](Status status, const std::vector<Retired>&) {
    done(std::move(status));
  });
}

std::optional<Version> Shard::IssueVersions(uint32_t count) {
  std::optional<Version> first;
  {
    MutexLock lock(mutex_);
    if (next_version_ + count <= versions_end_) {
      first = next_version_;
      next_version_ += count;
      moving_[*first] = count;
    }
  }
  Pump();
  return first;
}

void Shard::EndVersions(Version first) {
  MutexLock lock(mutex_);
  moving_.erase(first);
}

void Shard::RaiseToken(SpaceId space, Token token, std::function<void(Status)> done) {
  Status refusal;
  {
    MutexLock lock(mutex_);
    if (failed_) {
      refusal = NotServing();
    } else if (Token& current = tokens_[space]; token < current) {
      refusal = MakeError(ErrorReason::kFenced, "the space has been opened again meanwhile");
    } else {
      if (token > current) {
        windows_.Reset(space, token);
        if (const auto it = allocators_.find(space); it != allocators_.end()) {
          it->second.ForgetCurrent(table_);
        }
      }
      current = token;
      QueueEntry raise;
      raise.tokens.push_back({space, token});
      raise.published = [done](Status status, const std::vector<Retired>&) {
        done(std::move(status));
      };
      Push(std::move(raise));
    }
  }
  if (!refusal.ok()) {
    done(std::move(refusal));
    return;
  }
  Pump();
}

std::vector<SpaceId> Shard::Spaces() const {
  std::vector<SpaceId> spaces;
  MutexLock lock(mutex_);
  for (const auto& [space, token] : tokens_) {
    spaces.push_back(space);
  }
  return spaces;
}

Entry Shard::Lookup(SpaceId space, Offset offset) const {
  MutexLock lock(mutex_);
  return EntryOf(space, offset);
}

std::vector<Entry> Shard::Lookup(SpaceId space, const std::vector<Extent>& extents) const {
  std::vector<Entry> entries;
  MutexLock lock(mutex_);
  for (const Extent& extent : extents) {
    for (uint32_t i = 0; i < extent.pages; ++i) {
      entries.push_back(EntryOf(space, extent.offset + i));
    }
  }
  return entries;
}

std::vector<Entry> Shard::LookupForLoad(SpaceId space, const std::vector<Extent>& extents) {
  std::vector<Entry> entries;
  MutexLock lock(mutex_);
  for (const Extent& extent : extents) {
    for (uint32_t i = 0; i < extent.pages; ++i) {
      entries.push_back(OrGivenUp(space, table_.Touch(space, extent.offset + i)));
    }
  }
  return entries;
}

std::vector<NamedEntry> Shard::TakeColdest(const std::vector<SetId>& sets, double part) {
  MutexLock lock(mutex_);
  const double count = std::ceil(part * static_cast<double>(table_.CountCompressed(sets)));
  return table_.TakeColdest(sets, static_cast<size_t>(count));
}

uint64_t Shard::PagesOn(const std::vector<SetId>& sets) const {
  uint64_t pages = 0;
  MutexLock lock(mutex_);
  for (const SetId set : sets) {
    pages += table_.PagesOn(set);
  }
  return pages;
}

void Shard::Inspect(const std::function<void(const EntryTable&)>& visit) const {
  MutexLock lock(mutex_);
  visit(table_);
}

void Shard::MarkSeen(const PageName& name, SeenBy by) {
  MutexLock lock(mutex_);
  const Word word = table_.Get(name.space, name.offset).word;
  if (word.version() == name.version && word.live()) {
    table_.MarkSeen(name.space, name.offset, by);
  }
}

void Shard::ClearSeen(SeenBy by) {
  MutexLock lock(mutex_);
  table_.ClearSeen(by);
}

std::optional<bool> Shard::Names(const PageName& name, const std::vector<SetId>& sets) const {
  MutexLock lock(mutex_);
  if (table_.FindInFlight(name.space, name.offset) != nullptr) {
    return std::nullopt;
  }
  const Word word = table_.Get(name.space, name.offset).word;
  const bool same =
      word.version() == name.version && std::ranges::find(sets, word.set()) != sets.end();
  if (same && word.kind() == Backing::kLost) {
    return std::nullopt;
  }
  return same && word.stored();
}

bool Shard::MayBeNamed(const PageName& name, const std::function<bool(SetId)>& keeps) const {
  MutexLock lock(mutex_);
  const auto after = moving_.upper_bound(name.version);
  const bool moving =
      after != moving_.begin() && name.version < std::prev(after)->first + std::prev(after)->second;
  if (moving || name.version >= next_version_ ||
      table_.FindInFlight(name.space, name.offset) != nullptr) {
    return true;
  }
  const Word word = table_.Get(name.space, name.offset).word;
  return word.live() && word.version() == name.version && keeps(word.set());
}

void Shard::Pump() {
  auto write = std::make_shared<WriteUnderWay>();
  std::vector<TableLog*> logs;
  {
    MutexLock lock(mutex_);
    const bool versions_low = versions_asked_ == 0 && versions_end_ < options_.versions_limit &&
                              next_version_ + options_.versions_block / 2 > versions_end_;
    const bool filling = std::ranges::any_of(replicas_, [](const Replica& replica) {
      return replica.filling != nullptr && (!replica.filling->begun || !replica.filling->empty());
    });
    if (writing_ != nullptr || failed_ ||
        (queue_.empty() && purges_.empty() && !windows_.has_forgotten() && !versions_low &&
         !filling)) {
      return;
    }
    writing_ = write;
    LogWrite& out = write->write;
    out.shard = options_.id;
    out.epoch = options_.epoch;
    out.sequence = ++last_sequence_;
    if (versions_low) {
      versions_asked_ = std::min(next_version_ + options_.versions_block, options_.versions_limit);
      out.versions_reserved = versions_asked_;
    }
    // A none word that was stored to again since needs no purge: its record is overwritten.
    const auto purges_end =
        purges_.begin() + static_cast<ptrdiff_t>(std::min(purges_.size(), kWritePurgesMax));
    for (auto purge = purges_.begin(); purge != purges_end; ++purge) {
      const auto& [name, version] = *purge;
      const Entry entry = table_.Get(name.space, name.offset);
      if (!entry.live() && entry.word.version() == version) {
        out.purges.push_back(name);
      }
    }
    purges_.erase(purges_.begin(), purges_end);
    out.forgotten = windows_.TakeForgotten(kWritePurgesMax);
    while (!queue_.empty() && out.slots.size() + queue_.front().slots.size() <= kWriteSlotsMax &&
           out.tokens.size() + queue_.front().tokens.size() <= kWriteSlotsMax &&
           out.requests.size() < kWriteAnswersMax) {
      QueueEntry& entry = queue_.front();
      out.slots.insert(out.slots.end(), entry.slots.begin(), entry.slots.end());
      out.tokens.insert(out.tokens.end(), entry.tokens.begin(), entry.tokens.end());
      if (entry.answer) {
        out.requests.push_back(*std::move(entry.answer));
      }
      write->entries.push_back(std::move(entry));
      queue_.pop_front();
    }
    for (const Replica& replica : replicas_) {
      if (replica.filling != nullptr) {
        write->fillings[replica.log] = FillingWrite(out, *replica.filling);
      }
      logs.push_back(replica.log);
    }
    write->missing = logs;
  }
  for (TableLog* log : logs) {
    Send(write, log, options_.retry_min);
  }
}

LogWrite Shard::NextPiece(Epoch epoch, Sequence sequence, Filling& filling) const {
  LogWrite write;
  write.shard = options_.id;
  write.epoch = epoch;
  write.sequence = sequence;
  MutexLock lock(mutex_);
  return FillingWrite(write, filling);
}

LogWrite Shard::FillingWrite(const LogWrite& write, Filling& filling) const {
  LogWrite out = write;
  if (!filling.begun) {
    filling.begun = out.begins = true;
    // Later changes of any of these go with the writes.
    table_.ForEachCluster([&](SpaceId space, uint64_t cluster) {
      filling.clusters.push_back({space, cluster * kClusterSlots});
    });
    for (const auto& [space, token] : tokens_) {
      filling.spaces.push_back(space);
    }
    filling.requests = windows_.Logged();
    out.versions_reserved = std::max(versions_end_, versions_asked_);
  }
  out.slots.clear();
  FillSlots(filling, &out.slots);
  out.slots.insert(out.slots.end(), write.slots.begin(), write.slots.end());
  out.tokens.clear();
  while (!filling.spaces.empty() && out.tokens.size() < kFillSlotsMax) {
    out.tokens.push_back({filling.spaces.back(), tokens_.at(filling.spaces.back())});
    filling.spaces.pop_back();
  }
  out.tokens.insert(out.tokens.end(), write.tokens.begin(), write.tokens.end());
  while (!filling.requests.empty() && out.requests.size() < 2 * kWriteAnswersMax) {
    if (std::optional<RequestRecord> answer = windows_.FindLogged(filling.requests.back())) {
      out.requests.push_back(*std::move(answer));
    }
    filling.requests.pop_back();
  }
  return out;
}

void Shard::FillSlots(Filling& filling, std::vector<SlotRecord>* slots) const {
  while (!filling.clusters.empty() && slots->size() < kFillSlotsMax) {
    const SlotName cluster = filling.clusters.back();
    filling.clusters.pop_back();
    table_.ForEach(
        cluster.space, {cluster.offset, kClusterSlots}, [&](Offset offset, const Entry& entry) {
          // None words are about to be purged everywhere.
          if (entry.live()) {
            slots->push_back(
                {cluster.space, offset, entry.word.bits(), entry.companion.Logged().bits()});
          }
        });
  }
}

void Shard::Send(const std::shared_ptr<WriteUnderWay>& write, TableLog* log, Duration retry) {
  const auto filling = write->fillings.find(log);
  log->Write(filling == write->fillings.end() ? write->write : filling->second,
             [self = shared_from_this(), write, log, retry](const StatusOr<bool>& answer) {
               self->OnAnswer(write, log, retry, answer.status());
             });
}

bool Shard::Awaits(const std::shared_ptr<WriteUnderWay>& write, TableLog* log) const {
  return writing_ == write && std::ranges::find(write->missing, log) != write->missing.end();
}

bool Shard::Accepted(WriteUnderWay& write, TableLog* log) {
  return std::erase(write.missing, log) != 0 && write.missing.empty();
}

void Shard::OnAnswer(const std::shared_ptr<WriteUnderWay>& write, TableLog* log, Duration retry,
                     const Status& answer) {
  bool decided = false;
  {
    MutexLock lock(mutex_);
    if (!Awaits(write, log)) {
      return;  // nothing waits for it any more
    }
    decided = answer.ok() && Accepted(*write, log);
  }
  if (decided) {
    OnWritten(write);
  } else if (ReasonOf(answer) == ErrorReason::kStaleEpoch) {
    Fence(answer);
  } else if (!answer.ok()) {
    // Undecided: neither backing of any of its slots is released until every replica has it.
    executor_.PostAfter(retry, [self = shared_from_this(), write, log,
                                next = std::min(retry * 2, options_.retry_max)] {
      {
        MutexLock lock(self->mutex_);
        if (!self->Awaits(write, log)) {
          return;
        }
      }
      self->Send(write, log, next);
    });
  }
}

std::vector<Shard::LogState> Shard::Logs() const {
  std::vector<LogState> states;
  MutexLock lock(mutex_);
  for (const Replica& replica : replicas_) {
    const bool awaited = writing_ != nullptr && Awaits(writing_, replica.log);
    states.push_back({replica.log, replica.filling == nullptr,
                      replica.filling != nullptr && replica.filling->filled,
                      awaited ? writing_->write.sequence : 0});
  }
  return states;
}

std::vector<TableLog*> Shard::replicas() const {
  std::vector<TableLog*> logs;
  for (const LogState& state : Logs()) {
    if (state.full) {
      logs.push_back(state.log);
    }
  }
  return logs;
}

void Shard::AddReplica(TableLog* log) {
  {
    MutexLock lock(mutex_);
    replicas_.push_back({log, std::make_unique<Filling>()});
  }
  Pump();
}

void Shard::RemoveReplica(TableLog* log) {
  std::shared_ptr<WriteUnderWay> decided;
  {
    MutexLock lock(mutex_);
    std::erase_if(replicas_, [&](const Replica& replica) { return replica.log == log; });
    if (writing_ != nullptr && Accepted(*writing_, log)) {
      decided = writing_;
    }
  }
  if (decided != nullptr) {
    OnWritten(decided);
  }
}

void Shard::MarkFull(TableLog* log) {
  MutexLock lock(mutex_);
  const auto replica = std::ranges::find(replicas_, log, &Replica::log);
  if (replica != replicas_.end()) {
    replica->filling = nullptr;
  }
}

void Shard::OnWritten(const std::shared_ptr<WriteUnderWay>& write) {
  {
    MutexLock lock(mutex_);
    if (writing_ != write) {
      return;  // the shard has failed since it was decided, and all were told
    }
    if (write->write.versions_reserved != 0) {
      versions_end_ = write->write.versions_reserved;
      versions_asked_ = 0;
    }
    PublishPurges(write->write.purges);
    for (QueueEntry& entry : write->entries) {
      PublishEntry(entry, &entry.retired);
    }
    for (const RequestRecord& answer : write->write.requests) {
      windows_.NoteLogged(answer);
    }
    for (const Replica& replica : replicas_) {
      if (replica.filling != nullptr && write->fillings.contains(replica.log)) {
        // One that came anew during the write has not begun.
        replica.filling->filled = replica.filling->begun && replica.filling->empty();
      }
    }
    writing_ = nullptr;
  }
  Pump();
  for (QueueEntry& entry : write->entries) {
    if (entry.published) {
      entry.published(Status(), std::move(entry.retired));
    }
  }
}

void Shard::PublishPurges(const std::vector<SlotName>& purges) {
  for (size_t i = 0; i < purges.size(); ++i) {
    const SlotName& name = purges[i];
    table_.Publish(name.space, name.offset, {});
    // Once a cluster, where its slots stand together.
    const bool last = i + 1 == purges.size() || purges[i + 1].space != name.space ||
                      purges[i + 1].offset / kClusterSlots != name.offset / kClusterSlots;
    if (last) {
      NoteFreed(name.space, name.offset);
    }
  }
}

void Shard::PublishEntry(const QueueEntry& entry, std::vector<Retired>* retired) {
  for (const SlotRecord& record : entry.slots) {
    const Entry now{Word(record.word), Companion(record.companion)};
    const Entry old = table_.Publish(record.space, record.offset, now);
    const bool had_record = old.word.stored() || old.word.kind() == Backing::kLost;
    if (had_record && old.word.version() != now.word.version()) {
      retired->push_back({old.word.set(), {record.space, record.offset, old.word.version()}});
    }
    if (!now.live()) {
      purges_.push_back({{record.space, record.offset}, now.word.version()});
    }
    SettleOne(record.space, record.offset);
  }
}

void Shard::NoteFreed(SpaceId space, Offset offset) {
  if (const auto it = allocators_.find(space); it != allocators_.end()) {
    it->second.NoteFreed(table_, offset / kClusterSlots);
  }
}

void Shard::Fence(const Status& status) {
  if (Fail() && options_.on_fenced) {
    options_.on_fenced(status);
  }
}

bool Shard::Fail() {
  std::deque<QueueEntry> queue;
  std::shared_ptr<WriteUnderWay> write;
  {
    MutexLock lock(mutex_);
    if (failed_) {
      return false;
    }
    failed_ = true;
    serving_ = false;
    write.swap(writing_);
    queue.swap(queue_);
  }
  if (write != nullptr) {
    // Undecided: the next owner finds out.
    std::ranges::move(write->entries, std::front_inserter(queue));
  }
  for (QueueEntry& entry : queue) {
    if (entry.published) {
      entry.published(NotServing(), {});
    }
  }
  return true;
}

}  // namespace vswap
