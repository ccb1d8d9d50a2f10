// The open questions of a run, in the order in which they were asked.
//
// Whatever their number, each operation costs the same: a hash of the id finds one, links keep the order, and
// those of one invocation hang together. Only the walk over all costs their number. Invariants: ids are
// unique; no operation but reserve() allocates, so that none fails; a question whose asker is not null is in
// the list that Journal::questions of its asker begins.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "value/event.hpp"

namespace blazen {

struct Invocation;

// Its id is the correlation id of the request, whose value the engine has made: nothing of the host goes with
// it.
struct Question {
  Ref<Event> request;
  Invocation* asker = nullptr;  // null: an event asks, and an event will answer
  int64_t asked_ms = 0;         // the date
  int64_t since_ms = kNoTime;   // the same moment by the runtime's clock; not stored
  bool calls_back = false;      // its body waits in flight
  bool handed_out = false;      // the engine's, and not stored: the host's handler has it
  uint32_t membership = 0;      // in a scope, where an event asks (scopes.hpp)

  // What few of them have.
  struct Deadline {
    int64_t after_ms = 0;       // so long after it was asked, it is answered with its default
    Ref<Value> default_answer;  // the engine's own copy: nothing of the host goes with it
    int64_t due_ms = 0;         // its key among the deadlines; not stored
  };
  std::unique_ptr<Deadline> deadline;  // null: it waits for ever
  int64_t deadline_ms() const noexcept { return deadline ? deadline->after_ms : 0; }

  static constexpr int64_t kNoTime = INT64_MIN;  // in another process

  int64_t age_ms(int64_t now_ms, int64_t date_ms) const noexcept {
    return std::max<int64_t>(0, since_ms != kNoTime ? now_ms - since_ms : date_ms - asked_ms);
  }
  const Question* next() const noexcept { return next_; }
  const Question* previous() const noexcept { return previous_; }
  Question* next() noexcept { return next_; }
  Question* previous() noexcept { return previous_; }

 private:
  friend class Questions;
  Question* next_ = nullptr;  // in the order of asking; of a spare one: the next spare
  Question* previous_ = nullptr;
  Question* next_of_asker_ = nullptr;
  Question* previous_of_asker_ = nullptr;
  Question* next_in_bucket_ = nullptr;
  uint64_t hash_ = 0;
};

class Questions {
 public:
  Questions() noexcept;
  Questions(Questions&& other) noexcept;
  Questions& operator=(Questions&& other) noexcept;
  ~Questions();

  size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }
  Question* first() const noexcept;
  Question* last() const noexcept;
  // Null where no question of this id is open.
  Question* find(std::string_view id) const noexcept;

  // Makes sure that the next `count` adds cannot fail. Throws std::bad_alloc.
  void reserve(size_t count);

  // Only after a reserve that covers it, and where no other of its id is open. asker: with effects, or null.
  Question& add(Ref<Event> request, Invocation* asker, int64_t asked_ms,
                int64_t since_ms = Question::kNoTime) noexcept;
  // One that has no deadline any more: see close_question().
  void remove(Question& question) noexcept;
  // Takes over all that other has, and has none of its own. What their askers know of them is forgotten with
  // them: nobody may look at it any more.
  void take(Questions& other) noexcept;
  void clear() noexcept;

  template <class T>
  class Iterator {
   public:
    explicit Iterator(T* at) noexcept : at_(at) {}
    T& operator*() const noexcept { return *at_; }
    Iterator& operator++() noexcept {
      at_ = at_->next();
      return *this;
    }
    bool operator!=(const Iterator& other) const noexcept { return at_ != other.at_; }

   private:
    T* at_;
  };
  Iterator<Question> begin() noexcept { return Iterator<Question>(first()); }
  Iterator<Question> end() noexcept { return Iterator<Question>(nullptr); }
  Iterator<const Question> begin() const noexcept { return Iterator<const Question>(first()); }
  Iterator<const Question> end() const noexcept { return Iterator<const Question>(nullptr); }

 private:
  // Most runs never ask: a pointer until one does.
  struct Table;
  std::unique_ptr<Table> table_;
};

}  // namespace blazen
