#include "tests/support/allocation_counter.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace vswap {
namespace {

enum class Owner : uint8_t { kOurs, kTheirs, kWhoeverCalls };

struct Module {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  Owner owner = Owner::kTheirs;
};

constexpr int kFramesMax = 48;
constexpr std::array<std::string_view, 10> kForWhoeverCalls = {
    "libstdc++", "libc.so", "libm.so", "libgcc_s",    "ld-linux",
    "libabsl",   "liblz4",  "libisal", "libprotobuf", "linux-vdso"};

std::array<Module, 512> modules;
size_t modules_size = 0;
std::atomic<bool> counting{false};
std::atomic<uint64_t> ours{0};
std::atomic<uint64_t> theirs{0};
std::atomic<bool> first_taken{false};
std::array<void*, kFramesMax> first_stack;
int first_frames = 0;
thread_local bool inside = false;  // the unwinder may allocate too

Owner OwnerOf(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (size_t i = 0; i < modules_size; ++i) {
    if (at >= modules[i].begin && at < modules[i].end) {
      return modules[i].owner;
    }
  }
  return Owner::kWhoeverCalls;
}

void CountOne(bool is_ours, void* const* stack, int frames) {
  if (!is_ours) {
    theirs.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ours.fetch_add(1, std::memory_order_relaxed);
  if (!first_taken.exchange(true)) {
    std::copy_n(stack, frames, first_stack.begin());
    first_frames = frames;
  }
}

// Most are seen from the caller alone; only where that works for others is the stack walked.
void Note(void* caller) {
  if (!counting.load(std::memory_order_relaxed) || inside) {
    return;
  }
  if (OwnerOf(caller) == Owner::kTheirs) {
    return CountOne(false, nullptr, 0);
  }
  inside = true;
  std::array<void*, kFramesMax> stack;
  const int frames = backtrace(stack.data(), kFramesMax);
  // Up to the caller it is this file.
  int frame = 0;
  while (frame < frames && stack[static_cast<size_t>(frame)] != caller) {
    ++frame;
  }
  Owner owner = Owner::kWhoeverCalls;
  for (; frame < frames && owner == Owner::kWhoeverCalls; ++frame) {
    owner = OwnerOf(stack[static_cast<size_t>(frame)]);
  }
  CountOne(owner != Owner::kTheirs, stack.data(), frames);
  inside = false;
}

int AddModule(dl_phdr_info* info, size_t, void*) {
  const std::string_view name(info->dlpi_name);
  Owner owner = Owner::kTheirs;
  if (name.empty()) {
    owner = Owner::kOurs;  // only the program has no name
  } else if (std::ranges::any_of(kForWhoeverCalls, [&](std::string_view library) {
               return name.find(library) != std::string_view::npos;
             })) {
    owner = Owner::kWhoeverCalls;
  }
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0 && modules_size < modules.size()) {
      const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
      modules[modules_size++] = {begin, begin + header.p_memsz, owner};
    }
  }
  return 0;
}

}  // namespace

void StartCounting() {
  modules_size = 0;
  dl_iterate_phdr(AddModule, nullptr);
  std::array<void*, 4> stack;
  backtrace(stack.data(), 4);  // loads the unwinder
  ours = 0;
  theirs = 0;
  first_taken = false;
  counting = true;
}

Allocations StopCounting() {
  counting = false;
  Allocations result{ours, theirs, ""};
  if (first_taken) {
    char** names = backtrace_symbols(first_stack.data(), first_frames);
    for (int i = 0; names != nullptr && i < first_frames; ++i) {
      result.first_of_ours += std::string(names[i]) + "\n";
    }
    std::free(names);
  }
  return result;
}

}  // namespace vswap

// The allocator's entry points. The memory is glibc's own, so free need not be replaced.
#define VSWAP_NOTE() ::vswap::Note(__builtin_return_address(0))

extern "C" {
void* malloc(size_t bytes) {
  VSWAP_NOTE();
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  VSWAP_NOTE();
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, size_t bytes) {
  VSWAP_NOTE();
  return __libc_realloc(memory, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  VSWAP_NOTE();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  VSWAP_NOTE();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, size_t alignment, size_t bytes) {
  VSWAP_NOTE();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
}

void* operator new(size_t bytes) {
  VSWAP_NOTE();
  if (void* memory = __libc_malloc(bytes)) {
    return memory;
  }
  throw std::bad_alloc();
}
void* operator new[](size_t bytes) {
  VSWAP_NOTE();
  if (void* memory = __libc_malloc(bytes)) {
    return memory;
  }
  throw std::bad_alloc();
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  VSWAP_NOTE();
  if (void* memory = __libc_memalign(static_cast<size_t>(alignment), bytes)) {
    return memory;
  }
  throw std::bad_alloc();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  VSWAP_NOTE();
  return __libc_malloc(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  VSWAP_NOTE();
  return __libc_malloc(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
