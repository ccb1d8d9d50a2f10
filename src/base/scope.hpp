// Marks that this thread is inside the engine, with callbacks of the host above or below: calls that wait are
// refused here, since they could wait for themselves. While a scope of a run is open, the close of the run and
// of its runtime waits.
#pragma once

namespace blazen {

class EngineScope {
 public:
  // place: a run, which is entered, and left again. works: this thread will look for more work of it before it
  // leaves.
  template <class Place>
  explicit EngineScope(Place& place, bool works = false) noexcept
      : place_(&place),
        leave_([](void* left) noexcept { static_cast<Place*>(left)->leave(); }),
        outer_(current_),
        works_(works),
        counts_(outer_ == nullptr || outer_->place_ != &place) {
    if (counts_) place.enter();
    current_ = this;
  }
  // For a callback that belongs to no run: those of an executor.
  EngineScope() noexcept : outer_(current_), works_(false), counts_(false) { current_ = this; }
  ~EngineScope() {
    if (counts_) leave_(place_);  // still inside: what that leaves to be done is for later
    current_ = outer_;
    if (to_finish_ != nullptr) finish();
  }
  EngineScope(const EngineScope&) = delete;
  EngineScope& operator=(const EngineScope&) = delete;

  static bool inside() noexcept { return current_ != nullptr; }
  // Whether it was opened on this thread.
  bool is_here() const noexcept;
  // What this thread keeps alive while it calls the host for it: nobody below has to. Null: nothing.
  void keep(const void* kept) noexcept { kept_ = kept; }
  static bool keeps(const void* what) noexcept;
  // Is this thread working there, so that it will come back to it by itself?
  static bool works_on(const void* place) noexcept;

  // What is to be done once this thread has left the engine, as to close a runtime whose last handle went
  // inside a callback.
  class Later {
   public:
    // Nobody knows it any more when this is called.
    using Finish = void (*)(Later* later) noexcept;
    explicit Later(Finish finish) noexcept : finish_(finish) {}

   private:
    friend class EngineScope;
    const Finish finish_;
    Later* next_ = nullptr;
  };
  static void finish_later(Later& later) noexcept;

 private:
  void finish() noexcept;

  static thread_local EngineScope* current_;
  void* const place_ = nullptr;  // null: no run's
  void (*const leave_)(void* place) noexcept = nullptr;
  EngineScope* const outer_;
  const bool works_;
  const bool counts_;  // false where the scope around it is of the same run: that one counts
  const void* kept_ = nullptr;
  Later* to_finish_ = nullptr;
};

}  // namespace blazen
