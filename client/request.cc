#include "client/request.h"

#include <cassert>

namespace vswap::client {

bool Join(Pieces& pieces, const Piece& piece) {
  if (!pieces.empty()) {
    Piece& last = pieces.back();
    if (last.extent.offset + last.extent.pages == piece.extent.offset &&
        last.page + last.extent.pages == piece.page) {
      last.extent.pages += piece.extent.pages;
      return true;
    }
  }
  if (pieces.full()) {
    return false;
  }
  pieces.push_back(piece);
  return true;
}

void Request::Add(const Piece& piece) {
  pages += piece.extent.pages;
  [[maybe_unused]] const bool joined = Join(pieces, piece);
  assert(joined);
}

}  // namespace vswap::client
