#include "services/frontend/entry_path.h"

#include <utility>

namespace vswap {
namespace {

// What one of these requests changes, and what it answers then.
struct Change {
  RequestHeader header;
  std::vector<BegunSlot> slots;  // all of them begun
  std::vector<SlotRecord> records;
  MutationResult answer;
  bool log_answer = true;
};

// Logs the change and answers; what lost its last name is deleted.
void Log(const FrontEndContext& context, const std::shared_ptr<Shard>& shard,
         const std::shared_ptr<Request>& request, Change change) {
  const RequestHeader& header = change.header;
  std::optional<RequestRecord> record;
  if (change.log_answer) {
    record = {{header.space, header.token, header.sequence}, EncodeResult(change.answer)};
  }
  const Status status = shard->Enqueue(
      header.space, header.token, change.records,
      [context, shard, request, answer = change.answer](Status logged,
                                                        std::vector<Retired> retired) mutable {
        // Whoever stores after the answer finds the room, or waits for it.
        if (!retired.empty()) {
          context.releaser.Release(std::move(retired), context.gate.Take(OverlapGate::For::kFree));
        }
        answer.status = std::move(logged);
        shard->Finish(request, std::move(answer));
      },
      std::move(record));
  if (!status.ok()) {
    shard->Abandon(header.space, change.slots);
    shard->Finish(request, {status, {}, 0, {}});
  }
}

Word NoneWord(const BegunSlot& slot) { return Word(Backing::kNone, 0, slot.version); }

// A freed slot where what has no word is lost (Shard::GivenUp).
SlotRecord Zeroed(SpaceId space, const BegunSlot& slot) {
  return {space, slot.offset, Word(Backing::kZero, 0, slot.version).bits(),
          Companion::Stored(0).bits()};
}

// The entry with one reference less.
SlotRecord Dropped(SpaceId space, const BegunSlot& slot) {
  const Entry& entry = slot.current;
  const uint32_t references = entry.companion.references();
  if (references > 1) {
    return {space, slot.offset, entry.word.bits(),
            entry.companion.Logged().WithReferences(references - 1).bits()};
  }
  return {space, slot.offset, NoneWord(slot).bits(), 0};
}

}  // namespace

void FreePages(const FrontEndContext& context, std::shared_ptr<Shard> shard, FreeCall call,
               MutationDone done) {
  Change change{.header = call.header, .slots = {}, .records = {}, .answer = {}};
  const auto request =
      shard->AdmitFree(call.header, call.extents, call.kind, &change.slots, std::move(done));
  if (!request) {
    return;
  }
  for (const BegunSlot& slot : change.slots) {
    change.answer.freed_pages += slot.current.live();
    change.records.push_back(shard->GivenUp(call.header.space) ? Zeroed(call.header.space, slot)
                                                               : Dropped(call.header.space, slot));
  }
  change.log_answer = call.kind == SpaceKind::kAllocated;
  context.counters.freed += change.answer.freed_pages;
  Log(context, shard, request, std::move(change));
}

void AllocatePages(const FrontEndContext& context, std::shared_ptr<Shard> shard, AllocateCall call,
                   MutationDone done) {
  const auto counted = [&counters = context.counters,
                        done = std::move(done)](const MutationResult& result) {
    counters.rejected_allocations += result.status.code() == StatusCode::kResourceExhausted;
    done(result);
  };
  Change change{.header = call.header, .slots = {}, .records = {}, .answer = {}};
  const auto request = shard->AdmitAllocate(call.header, call.shape, &change.slots, counted);
  if (!request) {
    return;
  }
  for (const BegunSlot& slot : change.slots) {
    change.records.push_back({call.header.space, slot.offset, NoneWord(slot).bits(),
                              Companion().WithReferences(1).bits()});
  }
  for (size_t i = 0; i < change.slots.size(); i += size_t{1} << call.shape.order) {
    change.answer.offsets.push_back(change.slots[i].offset);
  }
  context.counters.allocated += change.slots.size();
  Log(context, shard, request, std::move(change));
}

void DuplicatePages(const FrontEndContext& context, std::shared_ptr<Shard> shard,
                    DuplicateCall call, MutationDone done) {
  Change change{.header = call.header, .slots = {}, .records = {}, .answer = {}};
  std::vector<BegunSlot> slots;
  const auto request = shard->AdmitDuplicate(call.header, call.extents, &slots, std::move(done));
  if (!request) {
    return;
  }
  for (const BegunSlot& slot : slots) {
    const bool begun = slot.refused == PageCode::kUnset;
    change.answer.codes.push_back(begun ? PageCode::kOk : slot.refused);
    if (!begun) {
      continue;
    }
    const Entry& entry = slot.current;
    change.slots.push_back(slot);
    change.records.push_back(
        {call.header.space, slot.offset, entry.word.bits(),
         entry.companion.Logged().WithReferences(entry.companion.references() + 1).bits()});
  }
  context.counters.duplicated += change.slots.size();
  Log(context, shard, request, std::move(change));
}

}  // namespace vswap
