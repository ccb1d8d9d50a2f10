// Room in a row that grows again and again: std::vector::reserve takes as much as it is told and no more, so that a
// row filled a few at a time would be copied each time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace blazen {

// For so many more. A constant number of moves for each element, over the life of the row. Throws std::bad_alloc.
template <class T>
void reserve_more(std::vector<T>& row, size_t count) {
  const size_t wanted = row.size() + count;
  if (wanted > row.capacity()) row.reserve(std::max(wanted, row.capacity() * 2));
}

}  // namespace blazen
