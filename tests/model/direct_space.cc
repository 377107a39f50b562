#include "tests/model/direct_space.h"

namespace vswap {
namespace {

std::vector<Extent> ExtentsOf(const std::vector<Offset>& offsets) {
  std::vector<Extent> extents;
  for (const Offset offset : offsets) {
    if (!extents.empty() && extents.back().offset + extents.back().pages == offset) {
      ++extents.back().pages;
    } else {
      extents.push_back({offset, 1});
    }
  }
  return extents;
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

std::shared_ptr<DirectSpace::Request> DirectSpace::Add(Offset first, std::vector<Extent> extents,
                                                       bool changes) {
  auto request = std::make_shared<Request>();
  request->header = client_.Next(first);
  request->extents = std::move(extents);
  request->changes = changes;
  under_way_[request->header.sequence] = request;
  if (changes) {
    ForEachSlot(request->extents,
                [&](Offset offset) { last_change_[offset] = request->header.sequence; });
  }
  return request;
}

bool DirectSpace::Overtaken(const Request& request) const {
  bool overtaken = false;
  if (request.changes) {
    ForEachSlot(request.extents, [&](Offset offset) {
      overtaken = overtaken || last_change_.at(offset) != request.header.sequence;
    });
  }
  return overtaken;
}

void DirectSpace::Send(const std::shared_ptr<Request>& request) {
  request->send();
  if (request->changes && random_.Below(20) == 0) {
    const auto delay = std::chrono::microseconds(random_.Below(50000));
    executor_.PostAfter(delay, [request, generation = generation_, this] {
      if (generation == generation_) {
        request->send();
      }
    });
  }
}

bool DirectSpace::Take(const std::shared_ptr<Request>& request, uint64_t generation,
                       const Status& status) {
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

void DirectSpace::Repeat(const std::shared_ptr<Request>& request) {
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
      client_.Refresh(request->header, request->extents[0].offset);
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

void DirectSpace::Store(std::vector<ContentAt> pages, StoreDone done) {
  std::vector<Offset> offsets;
  for (const ContentAt& page : pages) {
    offsets.push_back(page.offset);
  }
  const auto request = Add(offsets[0], ExtentsOf(offsets), true);
  const StoreCall call = FrontEndClient::MakeStore(request->header, std::move(pages));
  request->send = [this, call, done, weak = std::weak_ptr(request)] {
    const auto self = weak.lock();
    StoreCall again = call;
    again.header = self->header;
    front_end_->Store(std::move(again), [this, self, done,
                                         generation = generation_](const MutationResult& result) {
      if (Take(self, generation, result.status)) {
        result.status.ok() ? done(Judge(*self, result.codes)) : done(result.status);
      }
    });
  };
  request->give_up = [done](const Status& status) { done(status); };
  Send(request);
}

void DirectSpace::Free(Extent extent, FreeDone done) {
  const auto request = Add(extent.offset, {extent}, true);
  request->send = [this, done, weak = std::weak_ptr(request)] {
    const auto self = weak.lock();
    front_end_->Free({self->header, self->extents},
                     [this, self, done, generation = generation_](const MutationResult& result) {
                       if (Take(self, generation, result.status)) {
                         done(result.status);
                       }
                     });
  };
  request->give_up = done;
  Send(request);
}

void DirectSpace::Load(std::vector<Offset> offsets, LoadDone done) {
  const auto request = Add(offsets[0], ExtentsOf(offsets), false);
  request->send = [this, offsets, done, weak = std::weak_ptr(request)] {
    const auto self = weak.lock();
    front_end_->Load({self->header, self->extents},
                     [this, self, offsets, done, generation = generation_](LoadReply reply) {
                       if (!Take(self, generation, reply.status)) {
                         return;
                       }
                       if (!reply.status.ok()) {
                         return done(reply.status);
                       }
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
                       done(std::move(pages));
                     });
  };
  request->give_up = [done](const Status& status) { done(status); };
  Send(request);
}

}  // namespace vswap
