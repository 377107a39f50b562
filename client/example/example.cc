// Open, allocate, store, load, duplicate, free: what a program does with libvswap. Built against an
// installed vswap, by CMake (CMakeLists.txt) or by
//   g++ -std=c++20 example.cc $(pkg-config --cflags --libs vswap) -o example
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "client/swap_client.h"

namespace {

void Check(const vswap::Status& status, const char* what) {
  if (!status.ok()) {
    std::cerr << what << ": " << status << "\n";
    std::exit(1);
  }
  std::cout << what << ": ok\n";
}

void Check(const vswap::PagesResult& result, const char* what) {
  for (size_t i = 0; i < result.codes.size(); ++i) {
    if (result.codes[i] != vswap::PageCode::kOk) {
      std::cerr << what << ": page " << i << ": " << vswap::Name(result.codes[i]) << "\n";
      std::exit(1);
    }
  }
  Check(result.status, what);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " HOST:PORT\n";
    return 2;
  }
  vswap::ClientOptions options;
  options.frontend = argv[1];
  options.space = "example";
  options.holder = "example-program";
  options.kind = vswap::SpaceKind::kAllocated;
  options.create_pages = 1 << 20;  // 4 GiB, if there is no such space yet

  const auto opened = vswap::SwapClient::Open(options);
  Check(opened.status(), "open");
  vswap::SwapClient& client = **opened;

  // One folio of 2^4 pages.
  const auto ranges = client.Allocate(4, 1);
  Check(ranges.status(), "allocate");
  const vswap::PageRange folio = ranges->front();
  std::cout << "16 entries from offset " << folio.offset << "\n";

  const std::vector<std::byte> bytes(folio.pages * vswap::kPageBytes, std::byte{42});
  Check(client.StoreWhole(folio.offset, bytes), "store");

  // As one piece where it lies in one piece, else page by page.
  std::vector<std::byte> back(bytes.size());
  vswap::PagesResult loaded = client.LoadUnmixed(folio.offset, back);
  if (vswap::ReasonOf(loaded.status) == vswap::ErrorReason::kMixed) {
    loaded = client.Load(folio.offset, back);
  }
  Check(loaded, "load");
  if (back != bytes) {
    std::cerr << "load: other bytes than were stored\n";
    return 1;
  }

  // As a fork does: the first to free its reference leaves the page to the other.
  Check(client.Duplicate(folio.offset, folio.pages), "duplicate");
  for (const char* what : {"free", "free again"}) {
    const auto freed = client.FreeCounted({folio});
    Check(freed.status(), what);
    std::cout << *freed << " references dropped\n";
  }
  const vswap::PagesResult gone = client.Load(folio.offset, back);
  std::cout << "load: " << vswap::Name(gone.codes.front()) << "\n";
  Check(client.Close(), "close");
  return gone.codes.front() == vswap::PageCode::kNotFound ? 0 : 1;
}
