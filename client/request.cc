#include "client/request.h"

namespace vswap::client {

void Request::Add(const Piece& piece) {
  pages += piece.extent.pages;
  if (!pieces.empty()) {
    Piece& last = pieces.back();
    if (last.extent.offset + last.extent.pages == piece.extent.offset &&
        last.page + last.extent.pages == piece.page) {
      last.extent.pages += piece.extent.pages;
      return;
    }
  }
  pieces.push_back(piece);
}

}  // namespace vswap::client
