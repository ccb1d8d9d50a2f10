// What every handle begins with: a kind, so that a wrong one is refused, and a count of references.
//
// Invariants: kind is one of Kind while the object lives, and Kind::dead from the moment its last reference
// is gone. An immortal object (the JSON null, the out-of-memory error) is never counted and never destroyed.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace blazen {

// Unlikely numbers, so that memory which is no handle at all is told apart too.
enum class Kind : uint32_t {
  dead = 0xB1A20000,
  error,
  value,
  event,
  workflow_builder,
  workflow,
  runtime,
  task,
  run,
  context,
  keys,
  batch,
  invocation,
  stream,
  snapshot,
  pipeline_builder,
};

struct Object {
  constexpr explicit Object(Kind object_kind, uint32_t references = 1) noexcept
      : kind(object_kind), refs(references) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  Kind kind;
  std::atomic<uint32_t> refs;
};

inline constexpr uint32_t kImmortal = 0x80000000;

[[gnu::always_inline]] inline void retain(const Object* object) noexcept {
  auto& refs = const_cast<Object*>(object)->refs;
  if ((refs.load(std::memory_order_relaxed) & kImmortal) == 0) refs.fetch_add(1, std::memory_order_relaxed);
}

// False where the last reference is already gone, and the object about to be destroyed.
inline bool try_retain(Object* object) noexcept {
  uint32_t refs = object->refs.load(std::memory_order_relaxed);
  while (refs != 0) {
    if (object->refs.compare_exchange_weak(refs, refs + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

// True when that was the last reference: the caller destroys the object. A sole owner needs no atomic write.
inline bool drop_reference(Object* object) noexcept {
  const uint32_t refs = object->refs.load(std::memory_order_acquire);
  if ((refs & kImmortal) != 0) return false;
  if (refs != 1 && object->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return false;
  object->kind = Kind::dead;
  return true;
}

// The same for an object that others may find without a reference of their own, by try_retain: its count must
// fall to zero for them to see.
inline bool drop_known_reference(Object* object) noexcept {
  if (object->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return false;
  object->kind = Kind::dead;
  return true;
}

// An owning pointer to a counted object. T has `static void destroy(T*) noexcept`, and `kFoundByOthers` where
// it is one.
template <class T>
class Ref {
 public:
  Ref() noexcept = default;
  Ref(std::nullptr_t) noexcept {}  // NOLINT(google-explicit-constructor): null is a Ref
  Ref(const Ref& other) noexcept : object_(other.object_) {
    if (object_ != nullptr) retain(object_);
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  ~Ref() {
    if (object_ != nullptr) release(object_);
  }
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }

  static Ref adopt(T* object) noexcept {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  [[gnu::always_inline]] static Ref share(const T* object) noexcept {
    if (object != nullptr) retain(object);
    return adopt(const_cast<T*>(object));
  }

  void reset() noexcept {
    if (object_ != nullptr) release(std::exchange(object_, nullptr));
  }
  T* take() noexcept { return std::exchange(object_, nullptr); }
  T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  // Not inline: most references that end are null by then.
  [[gnu::noinline]] static void release(T* object) noexcept {
    if constexpr (requires { T::kFoundByOthers; }) {
      if (drop_known_reference(object)) T::destroy(object);
    } else {
      if (drop_reference(object)) T::destroy(object);
    }
  }

  T* object_ = nullptr;
};

}  // namespace blazen
