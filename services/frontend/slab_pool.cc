#include "services/frontend/slab_pool.h"

#include <sys/mman.h>

#include <cstring>
#include <new>
#include <utility>

namespace vswap {
namespace {

constexpr size_t kAlignment = 16;
constexpr size_t kHeaderBytes = 64;
// A last empty slab of which no more blocks were ever touched takes too little memory to go.
constexpr uint32_t kKeptBlocksMax = 4;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

SlabPool::SlabPool(size_t block_bytes)
    : block_bytes_(RoundUp(block_bytes, kAlignment)),
      blocks_(static_cast<uint32_t>((kSlabBytes - kHeaderBytes) / block_bytes_)) {
  static_assert(sizeof(Slab) <= kHeaderBytes);
}

SlabPool::~SlabPool() {
  if (spare_ != nullptr) {
    Unmap(spare_);
  }
}

SlabPool::Slab* SlabPool::SlabOf(void* block) {
  return reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(block) & ~(kSlabBytes - 1));
}

void* SlabPool::BlockAt(Slab* slab, uint32_t index) const {
  return reinterpret_cast<std::byte*>(slab) + kHeaderBytes + index * block_bytes_;
}

// Aligned by asking for twice as much and giving the rest back.
SlabPool::Slab* SlabPool::Map() {
  void* mapped =
      mmap(nullptr, 2 * kSlabBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    throw std::bad_alloc();
  }
  const auto begin = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t slab = RoundUp(begin, kSlabBytes);
  if (slab > begin) {
    munmap(mapped, slab - begin);
  }
  if (const uintptr_t end = slab + kSlabBytes; end < begin + 2 * kSlabBytes) {
    munmap(reinterpret_cast<void*>(end), begin + 2 * kSlabBytes - end);
  }
  ++slabs_;
  return new (reinterpret_cast<void*>(slab)) Slab();
}

void SlabPool::Unmap(Slab* slab) {
  munmap(slab, kSlabBytes);
  --slabs_;
}

void SlabPool::Link(Slab* slab) {
  slab->previous = nullptr;
  slab->next = with_room_;
  if (with_room_ != nullptr) {
    with_room_->previous = slab;
  }
  with_room_ = slab;
}

void SlabPool::Unlink(Slab* slab) {
  (slab->previous != nullptr ? slab->previous->next : with_room_) = slab->next;
  if (slab->next != nullptr) {
    slab->next->previous = slab->previous;
  }
}

void* SlabPool::Take() {
  if (with_room_ == nullptr) {
    Link(spare_ != nullptr ? std::exchange(spare_, nullptr) : Map());
  }
  Slab* slab = with_room_;
  void* block = slab->free;
  if (block != nullptr) {
    std::memcpy(&slab->free, block, sizeof(slab->free));
  } else {
    block = BlockAt(slab, slab->untouched++);
  }
  if (++slab->used == blocks_) {
    Unlink(slab);
  }
  return block;
}

void SlabPool::GiveBack(void* block) {
  Slab* slab = SlabOf(block);
  std::memcpy(block, &slab->free, sizeof(slab->free));
  slab->free = block;
  if (slab->used-- == blocks_) {
    Link(slab);
  }
  if (slab->used > 0) {
    return;
  }
  Unlink(slab);
  if (spare_ == nullptr) {
    spare_ = slab;
  } else {
    Unmap(slab);
  }
  if (slabs_ == 1 && spare_->untouched > kKeptBlocksMax) {
    Unmap(std::exchange(spare_, nullptr));
  }
}

}  // namespace vswap
