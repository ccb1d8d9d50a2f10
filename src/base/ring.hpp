// A row to which something is added at the back and taken from the front. One block of memory, none while nothing was
// ever added: a deque has half a kilobyte from the beginning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace blazen {

template <class T>
class Ring {
 public:
  bool empty() const noexcept { return size_ == 0; }
  size_t size() const noexcept { return size_; }
  T& operator[](size_t place) noexcept { return items_[(first_ + place) & (capacity_ - 1)]; }
  const T& operator[](size_t place) const noexcept { return items_[(first_ + place) & (capacity_ - 1)]; }
  T& front() noexcept { return (*this)[0]; }

  // Throws std::bad_alloc, and has changed nothing then.
  void push_back(T item) {
    if (size_ == capacity_) grow();
    (*this)[size_] = std::move(item);
    ++size_;
  }
  // What is there is moved from, or let go of.
  void pop_front() noexcept {
    front() = T();
    first_ = (first_ + 1) & (capacity_ - 1);
    --size_;
    constexpr size_t kKeptMax = 64;  // more is given back once nothing is left
    if (size_ == 0 && capacity_ > kKeptMax) *this = Ring();
  }

  Ring() noexcept = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

 private:
  Ring& operator=(Ring&& other) noexcept {
    items_ = std::move(other.items_);
    capacity_ = std::exchange(other.capacity_, 0);
    first_ = std::exchange(other.first_, 0);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  void grow() {
    constexpr uint32_t kLeast = 1;  // most rows have one item for long
    if (capacity_ > UINT32_MAX / 2) throw std::bad_alloc();
    const uint32_t capacity = capacity_ == 0 ? kLeast : capacity_ * 2;
    auto items = std::make_unique<T[]>(capacity);
    for (size_t place = 0; place < size_; ++place) items[place] = std::move((*this)[place]);
    items_ = std::move(items);
    capacity_ = capacity;
    first_ = 0;
  }

  std::unique_ptr<T[]> items_;
  uint32_t capacity_ = 0;  // a power of two, or nothing
  uint32_t first_ = 0;
  uint32_t size_ = 0;
};

}  // namespace blazen
