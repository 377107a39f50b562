#include "services/store/exclusive_names.h"

#include <algorithm>

namespace vswap {

void ExclusiveNames::Run(std::vector<PageName> names, Work work) {
  auto piece = std::make_shared<Piece>(Piece{std::move(names), std::move(work)});
  executor_.Dispatch([this, piece] { Start(piece); });
}

void ExclusiveNames::Start(const PiecePtr& piece) {
  {
    MutexLock lock(mutex_);
    if (!Claim(*piece)) {
      waiting_.push_back(piece);
      return;
    }
  }
  Perform(piece);
}

bool ExclusiveNames::Claim(const Piece& piece) {
  if (std::ranges::any_of(piece.names, [this](const PageName& name)
                                           REQUIRES(mutex_) { return claimed_.contains(name); })) {
    return false;
  }
  claimed_.insert(piece.names.begin(), piece.names.end());
  return true;
}

std::vector<ExclusiveNames::PiecePtr> ExclusiveNames::Release(const Piece& piece) {
  std::vector<PiecePtr> ready;
  MutexLock lock(mutex_);
  for (const PageName& name : piece.names) {
    claimed_.erase(name);
  }
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (Claim(**it)) {
      ready.push_back(std::move(*it));
      it = waiting_.erase(it);
    } else {
      ++it;
    }
  }
  return ready;
}

void ExclusiveNames::Perform(const PiecePtr& piece) {
  const Then then = piece->work();
  for (const PiecePtr& next : Release(*piece)) {
    executor_.Post([this, next] { Perform(next); });
  }
  then();
}

}  // namespace vswap
