#pragma once

#include "vswap/v1/admin.pb.h"

namespace vswap {

// Adds the pages and bytes of a space, or of a part of one.
inline void AddPages(const v1::SpaceStatus& part, v1::SpaceStatus* sum) {
  sum->set_empty_pages(sum->empty_pages() + part.empty_pages());
  sum->set_zero_pages(sum->zero_pages() + part.zero_pages());
  sum->set_compressed_pages(sum->compressed_pages() + part.compressed_pages());
  sum->set_physical_pages(sum->physical_pages() + part.physical_pages());
  sum->set_lost_pages(sum->lost_pages() + part.lost_pages());
  sum->set_compressed_bytes(sum->compressed_bytes() + part.compressed_bytes());
  sum->set_physical_bytes(sum->physical_bytes() + part.physical_bytes());
}

}  // namespace vswap
