#include "tests/model/direct_space.h"

#include <algorithm>

#include "tests/support/await.h"
#include "tests/support/extents.h"

namespace vswap {
namespace {

BackingKind KindOf(const Entry& entry) {
  switch (entry.word.kind()) {
    case Backing::kNone:
      return BackingKind::kNone;
    case Backing::kZero:
      return BackingKind::kZero;
    case Backing::kCompressed:
      return BackingKind::kCompressed;
    case Backing::kPhysical:
      return BackingKind::kPhysical;
    case Backing::kLost:
      break;
  }
  return BackingKind::kLost;
}

template <typename Visit>
void ForEachSlot(const std::vector<Extent>& extents, Visit visit) {
  for (const Extent& extent : extents) {
    for (uint32_t i = 0; i < extent.pages; ++i) {
      visit(extent.offset + i);
    }
  }
}

}  // namespace

DirectSpace::RequestPtr DirectSpace::Add(const RequestHeader& header, std::vector<Extent> extents,
                                         Kind kind) {
  auto request = std::make_shared<Request>();
  request->header = header;
  request->extents = std::move(extents);
  request->kind = kind;
  under_way_[header.sequence] = request;
  if (kind != Kind::kRead) {
    ForEachSlot(request->extents, [&](Offset offset) { last_change_[offset] = header.sequence; });
  }
  return request;
}

bool DirectSpace::Overtaken(const Request& request) const {
  bool overtaken = false;
  if (request.kind == Kind::kChange) {
    ForEachSlot(request.extents, [&](Offset offset) {
      overtaken = overtaken || last_change_.at(offset) != request.header.sequence;
    });
  }
  return overtaken;
}

void DirectSpace::Send(const RequestPtr& request) {
  request->send();
  if (request->kind != Kind::kRead && random_.Below(20) == 0) {
    const auto delay = std::chrono::microseconds(random_.Below(50000));
    executor_.PostAfter(delay, [request, generation = generation_, this] {
      if (generation == generation_) {
        request->send();
      }
    });
  }
}

bool DirectSpace::Take(const RequestPtr& request, uint64_t generation, const Status& status) {
  const auto it = under_way_.find(request->header.sequence);
  if (generation != generation_ || it == under_way_.end()) {
    return false;
  }
  const ErrorReason reason = ReasonOf(status);
  if (reason == ErrorReason::kNotServing || reason == ErrorReason::kStaleEpoch) {
    Repeat(request);
    return false;
  }
  under_way_.erase(it);
  client_.Answered(request->header);
  return true;
}

void DirectSpace::Repeat(const RequestPtr& request) {
  executor_.PostAfter(std::chrono::milliseconds(1), [this, request, generation = generation_] {
    if (generation == generation_ && under_way_.contains(request->header.sequence)) {
      request->send();
    }
  });
}

void DirectSpace::Reconnect(FrontEnd& front_end) {
  front_end_ = &front_end;
  client_.SetEpochs(*front_end.GetShardMap());
  const auto under_way = under_way_;
  for (const auto& [sequence, request] : under_way) {
    if (Overtaken(*request)) {
      under_way_.erase(sequence);
      client_.Answered(request->header);
      request->give_up(MakeError(StatusCode::kUnknown, "the front-end died"));
    } else {
      request->repeated = true;
      client_.RefreshOn(request->header, request->header.shard);
      Send(request);
    }
  }
}

std::vector<PageCode> DirectSpace::Judge(const Request& request, std::vector<PageCode> codes) {
  for (PageCode& code : codes) {
    if (request.repeated && code != PageCode::kOk) {
      code = PageCode::kUnset;
    }
  }
  return codes;
}

void DirectSpace::Change(const RequestPtr& request, std::function<void(MutationDone)> call,
                         std::function<void(const MutationResult&)> done) {
  request->send = [this, call = std::move(call), done, weak = std::weak_ptr(request)] {
    call([this, self = weak.lock(), done, generation = generation_](const MutationResult& result) {
      if (Take(self, generation, result.status)) {
        done(result);
      }
    });
  };
  request->give_up = [done](const Status& status) { done({status, {}, 0, {}}); };
  Send(request);
}

void DirectSpace::StorePages(std::vector<ContentAt> pages, bool whole, StoreDone done) {
  std::vector<Offset> offsets;
  for (const ContentAt& page : pages) {
    offsets.push_back(page.offset);
  }
  const auto request = Add(client_.Next(offsets[0]), ExtentsOf(offsets), Kind::kChange);
  StoreCall call = FrontEndClient::MakeStore(request->header, std::move(pages));
  call.extents = request->extents;
  call.whole = whole;
  Request* const self = request.get();
  Change(
      request,
      [this, call, self](MutationDone answer) {
        StoreCall again = call;
        again.header = self->header;
        front_end_->Store(std::move(again), std::move(answer));
      },
      [self, done](const MutationResult& result) {
        result.status.ok() ? done(Judge(*self, result.codes)) : done(result.status);
      });
}

void DirectSpace::Store(std::vector<ContentAt> pages, StoreDone done) {
  StorePages(std::move(pages), false, std::move(done));
}

void DirectSpace::StoreWhole(std::vector<ContentAt> pages, StoreDone done) {
  StorePages(std::move(pages), true, std::move(done));
}

void DirectSpace::Free(Extent extent, FreeDone done) {
  const auto request = Add(client_.Next(extent.offset), {extent}, Kind::kChange);
  Change(
      request,
      [this, self = request.get()](MutationDone answer) {
        front_end_->Free({self->header, self->extents}, std::move(answer));
      },
      [done](const MutationResult& result) { done(result.status); });
}

void DirectSpace::FreeCounted(std::vector<Offset> offsets, CountDone done) {
  const auto request = Add(client_.Next(offsets[0]), ExtentsOf(offsets), Kind::kLoggedChange);
  Change(
      request,
      [this, self = request.get()](MutationDone answer) {
        front_end_->Free({self->header, self->extents}, std::move(answer));
      },
      [done](const MutationResult& result) {
        result.status.ok() ? done(uint64_t{result.freed_pages}) : done(result.status);
      });
}

void DirectSpace::Duplicate(std::vector<Offset> offsets, CodesDone done) {
  const auto request = Add(client_.Next(offsets[0]), ExtentsOf(offsets), Kind::kLoggedChange);
  Change(
      request,
      [this, self = request.get()](MutationDone answer) {
        front_end_->Duplicate({self->header, self->extents}, std::move(answer));
      },
      [done](const MutationResult& result) {
        result.status.ok() ? done(result.codes) : done(result.status);
      });
}

void DirectSpace::Allocate(uint32_t order, uint32_t count, AllocateDone done) {
  const auto shard = static_cast<ShardId>(random_.Below(client_.shard_count()));
  const auto request = Add(client_.NextOn(shard), {}, Kind::kLoggedChange);
  Change(
      request,
      [this, order, count, self = request.get()](MutationDone answer) {
        front_end_->Allocate({self->header, {.order = order, .count = count}}, std::move(answer));
      },
      [order, done](const MutationResult& result) {
        if (!result.status.ok()) {
          return done(result.status);
        }
        std::vector<Extent> extents;
        for (const Offset offset : result.offsets) {
          extents.push_back({offset, 1u << order});
        }
        done(std::move(extents));
      });
}

std::vector<LoadedPage> DirectSpace::Plain(const std::vector<Offset>& offsets,
                                           const LoadReply& reply) const {
  std::vector<LoadedPage> pages;
  for (size_t i = 0; i < offsets.size(); ++i) {
    LoadedPage page{reply.pages[i].code, {}};
    if (page.code == PageCode::kOk) {
      auto plain = client_.Plain(offsets[i], reply.pages[i]);
      page = plain ? LoadedPage{PageCode::kOk, *std::move(plain)}
                   : LoadedPage{PageCode::kDataLoss, {}};
    }
    pages.push_back(std::move(page));
  }
  return pages;
}

void DirectSpace::LoadPages(const std::vector<Offset>& offsets, bool unmixed, LoadDone done) {
  const auto request = Add(client_.Next(offsets[0]), ExtentsOf(offsets), Kind::kRead);
  request->send = [this, offsets, unmixed, done, weak = std::weak_ptr(request)] {
    const auto self = weak.lock();
    front_end_->Load({.header = self->header, .extents = self->extents, .unmixed = unmixed},
                     [this, self, offsets, done, generation = generation_](const LoadReply& reply) {
                       if (Take(self, generation, reply.status)) {
                         reply.status.ok() ? done(Plain(offsets, reply)) : done(reply.status);
                       }
                     });
  };
  request->give_up = [done](const Status& status) { done(status); };
  Send(request);
}

void DirectSpace::Load(std::vector<Offset> offsets, LoadDone done) {
  LoadPages(offsets, false, std::move(done));
}

void DirectSpace::LoadUnmixed(Extent folio, LoadDone done) {
  std::vector<Offset> offsets;
  ForEachSlot({folio}, [&](Offset offset) { offsets.push_back(offset); });
  LoadPages(offsets, true, std::move(done));
}

void DirectSpace::Backing(Extent extent, BackingDone done) {
  // Up to the end of the stripe: the next one may be another shard's.
  const auto left = static_cast<uint32_t>(kStripePages - extent.offset % kStripePages);
  extent.pages = std::min(extent.pages, left);
  const RequestHeader header = client_.Next(extent.offset);
  const auto runs = Await<std::vector<BackingRun>>(
      [&](auto answer) { front_end_->Extents(header, extent, std::move(answer)); });
  client_.Answered(header);
  if (!runs.ok()) {
    return done(runs.status());
  }
  const BackingRun& first = runs->front();
  done(SlotRun{first.pages, first.free ? BackingKind::kFree : KindOf(first.first)});
}

}  // namespace vswap
