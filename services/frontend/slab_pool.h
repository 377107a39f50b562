#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace vswap {

// Memory for many objects of one size that come and go in large numbers: slabs straight from the
// kernel, each cut into blocks. A slab whose last block is given back goes back to the kernel, but
// for one that is kept while others are in use, or while no more than a few of its blocks were ever
// taken: a block that comes and goes must not make and unmake a slab each time (20 us).
//
// Why not malloc: a million clusters of 6 KiB, stored and freed again, left three quarters of their
// memory with the process, as longer-lived small objects lay between them.
//
// Bad at: slabs that keep a few blocks each for long; nothing is moved. Up to a slab of overhead.
//
// Externally synchronised. All blocks must be given back before the pool ends. Throws
// std::bad_alloc where the kernel has no memory, as new does.
class SlabPool {
 public:
  static constexpr size_t kSlabBytes = size_t{256} << 10;

  // `block_bytes`: 16..kSlabBytes / 2; blocks are aligned to 16.
  explicit SlabPool(size_t block_bytes);
  ~SlabPool();
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  void* Take();
  void GiveBack(void* block);

  size_t slab_count() const { return slabs_; }

 private:
  // At the beginning of each slab, which is aligned to its size, so that a block finds it.
  struct Slab {
    Slab* next = nullptr;  // of those with room
    Slab* previous = nullptr;
    void* free = nullptr;  // blocks given back, each with the next one's address in it
    uint32_t used = 0;
    uint32_t untouched = 0;  // from this block on, none was ever taken
  };

  static Slab* SlabOf(void* block);
  void* BlockAt(Slab* slab, uint32_t index) const;
  Slab* Map();
  void Unmap(Slab* slab);
  void Link(Slab* slab);
  void Unlink(Slab* slab);

  const size_t block_bytes_;
  const uint32_t blocks_;      // a slab
  Slab* with_room_ = nullptr;  // slabs that have a free block
  size_t slabs_ = 0;
  Slab* spare_ = nullptr;  // the one empty slab that is kept
};

// An object in a pool, which outlives it.
template <typename T>
struct GiveBackToPool {
  SlabPool* pool = nullptr;
  void operator()(T* object) const {
    object->~T();
    pool->GiveBack(object);
  }
};
template <typename T>
using PoolPtr = std::unique_ptr<T, GiveBackToPool<T>>;

template <typename T>
PoolPtr<T> MakeInPool(SlabPool& pool) {
  static_assert(alignof(T) <= 16);
  return PoolPtr<T>(new (pool.Take()) T(), GiveBackToPool<T>{&pool});
}

}  // namespace vswap
