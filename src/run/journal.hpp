// What outlives one execution of an invocation: each thing that it has sent, published and asked, so that the next
// execution, after a retry, a resume or an answer, is compared with it and repeats nothing.
//
// Sends and publications stand in one row, by position; a question is known by its id, which follows from its
// position among the questions of the body (question_name.hpp), or is the host's. What they are compared by are
// digests (engine/effect_digest.hpp): the same kind, type and target at a position is a repetition.
//
// A look-up costs the same however much there is: a position is an index, an answer is found by a hash once there
// are many. Only what was asked is in a tree: the logarithm of the number of questions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text_index.hpp"
#include "value/value.hpp"

namespace blazen {

class Call;
struct Question;

// One thing that an invocation has sent or published, as two digests, and what was said of its repetitions. Stored
// in snapshots.
struct Effect {
  uint64_t identity = 0;  // kind, type and target: what makes it a repetition
  uint64_t payload = 0;   // tag, codec, bytes, correlation and delay: whether the repetition is an exact one
  // The payload that was reported last, plus its attempt; 0: none was. An attempt that is interrupted and
  // runs again says what it has said already, and the stream is that of the run that nobody interrupts.
  uint64_t reported = 0;
};

// The digest of each question that an invocation has asked, by its id, withdrawn ones included: nobody is given the
// answer to another question. The first one is part of it, since most ask one.
class AskedDigests {
 public:
  bool empty() const noexcept { return first_id_.empty() && !more_; }
  // Null: none was asked under this id.
  const uint64_t* find(std::string_view id) const noexcept {
    if (!first_id_.empty() && first_id_ == id) return &first_digest_;
    if (!more_) return nullptr;
    const auto found = more_->find(id);
    return found == more_->end() ? nullptr : &found->second;
  }
  // Throws std::bad_alloc, and has changed nothing then.
  void note(std::string_view id, uint64_t digest) {
    if (first_id_.empty() && !more_ && !id.empty()) {
      first_id_ = id;
      first_digest_ = digest;
    } else if (!first_id_.empty() && first_id_ == id) {
      first_digest_ = digest;
    } else {
      if (!more_) more_ = std::make_unique<Map>();
      more_->insert_or_assign(std::string(id), digest);
    }
  }
  // In the order of the ids' bytes, from each(id, digest).
  template <class Each>
  void walk(Each each) const {
    bool first_is_due = !first_id_.empty();
    if (more_) {
      for (const auto& [id, digest] : *more_) {
        if (first_is_due && first_id_ < id) {
          each(first_id_, first_digest_);
          first_is_due = false;
        }
        each(id, digest);
      }
    }
    if (first_is_due) each(first_id_, first_digest_);
  }

 private:
  using Map = std::map<std::string, uint64_t, std::less<>>;
  std::string first_id_;  // empty: none
  uint64_t first_digest_ = 0;
  std::unique_ptr<Map> more_;  // the others: the logarithm of their number
};

struct Journal {
  struct Answer {
    std::string request_id;
    Ref<Value> value;        // null: the question was withdrawn, and nobody answers it
    bool is_unseen = false;  // came while the body was at work, which has not asked for it since
  };

  std::vector<Effect> made;       // by position
  AskedDigests asked;             // stored in snapshots
  uint32_t repeated = 0;          // the position among `made` that the present execution has come to
  uint32_t called_back : 31 = 0;  // open questions whose answers go to a callback
  uint32_t has_asked : 1 = 0;     // in its present execution, without a callback
  Question* questions = nullptr;  // its open ones, the newest first (Questions); of a run that goes on
  Call* call = nullptr;           // the engine's, and not stored: whose callbacks the answers go to

  // ---- what was sent and published ----

  // What the executions before this one had at the position which it has come to; null: nothing.
  Effect* earlier() noexcept { return repeated == made.size() ? nullptr : &made[repeated]; }
  // So that note() cannot fail. Throws std::bad_alloc.
  void reserve() {
    if (made.size() == made.capacity()) made.reserve(made.size() * 2 + 4);
  }
  // It counts at this position, beside what was there before, and is what later executions are compared with.
  void note(const Effect& effect) noexcept {
    if (Effect* known = earlier()) {
      *known = effect;
    } else {
      made.push_back(effect);  // reserved
    }
    ++repeated;
  }
  // The next execution begins with what it has asked and sent before. Whether there are answers that this one has
  // not seen.
  bool begin_again() noexcept {
    repeated = 0;
    has_asked = 0;
    bool has_unseen = false;
    if (answers_) {
      for (Answer& answer : answers_->row) has_unseen |= std::exchange(answer.is_unseen, false);
    }
    return has_unseen;
  }

  // As new, for another invocation, where it has sent and published and nothing else. False: it is not.
  bool forget_effects() noexcept {
    constexpr size_t kKeptMax = 64;
    if (!asked.empty() || answers_ || made.capacity() > kKeptMax) return false;
    made.clear();
    repeated = 0;
    has_asked = 0;
    called_back = 0;
    call = nullptr;
    return true;
  }

  // ---- what was asked, and answered ----

  // Whether another question was asked under this id.
  bool has_asked_another(std::string_view request_id, uint64_t digest) const noexcept {
    const uint64_t* known = asked.find(request_id);
    return known != nullptr && *known != digest;
  }
  // Throws std::bad_alloc.
  void note_question(std::string_view request_id, uint64_t digest) { asked.note(request_id, digest); }
  // In the order in which they came.
  std::span<Answer> answers() noexcept {
    return answers_ ? std::span<Answer>(answers_->row) : std::span<Answer>();
  }
  std::span<const Answer> answers() const noexcept {
    return answers_ ? std::span<const Answer>(answers_->row) : std::span<const Answer>();
  }
  // Null where there is none of this id.
  Answer* find_answer(std::string_view request_id) noexcept {
    if (!answers_) return nullptr;
    std::vector<Answer>& row = answers_->row;
    if (!answers_->index.empty()) {
      const size_t place = answers_->index.find(request_id, IdAt{row});
      return place == TextIndex::kNone ? nullptr : &row[place];
    }
    for (Answer& answer : row) {
      if (answer.request_id == request_id) return &answer;
    }
    return nullptr;
  }
  // None of this id is there. Throws std::bad_alloc, and has changed nothing then.
  void add_answer(std::string_view request_id, const Ref<Value>& value) {
    constexpr size_t kFew = 8;  // up to here, each is looked at
    if (!answers_) answers_ = std::make_unique<Answers>();
    std::vector<Answer>& row = answers_->row;
    TextIndex& index = answers_->index;
    const size_t count = row.size();
    const size_t unindexed = index.empty() ? count : 0;
    if (count >= kFew) index.reserve(unindexed + 1, IdAt{row});
    row.push_back({std::string(request_id), value});
    if (count < kFew) return;
    for (size_t place = count - unindexed; place <= count; ++place)
      index.put(row[place].request_id, place, IdAt{row});
  }

  // Journals that have answers hang together in Commands, to be let go of later.
  std::unique_ptr<Journal>& next() noexcept { return answers_->next; }

 private:
  struct IdAt {
    const std::vector<Answer>& row;
    std::string_view operator()(size_t place) const noexcept { return row[place].request_id; }
  };
  struct Answers {
    std::vector<Answer> row;
    std::unique_ptr<Journal> next{};  // of the journal that they are part of, in Commands
    TextIndex index{};                // of their ids, once there are many; empty until then
  };
  std::unique_ptr<Answers> answers_{};  // null until the first one comes
};

}  // namespace blazen
