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

struct Journal {
  struct Answer {
    std::string request_id;
    Ref<Value> value;        // null: the question was withdrawn, and nobody answers it
    bool is_unseen = false;  // came while the body was at work, which has not asked for it since
  };

  std::vector<Effect> made;                   // by position
  std::vector<Answer> answers;                // in the order in which they came
  std::unique_ptr<TextIndex> answer_index{};  // of their ids, once there are many; null until then
  // By its id, the digest of each question that it has asked, withdrawn ones included: nobody is given the answer
  // to another question. Stored in snapshots.
  std::map<std::string, uint64_t, std::less<>> asked;
  uint32_t repeated = 0;            // the position among `made` that the present execution has come to
  bool has_asked = false;           // in its present execution, without a callback
  uint32_t called_back = 0;         // open questions whose answers go to a callback
  Question* questions = nullptr;    // its open ones, the newest first (Questions); of a run that goes on
  Call* call = nullptr;             // the engine's, and not stored: whose callbacks the answers go to
  std::unique_ptr<Journal> next{};  // in Commands

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
    has_asked = false;
    bool has_unseen = false;
    for (Answer& answer : answers) has_unseen |= std::exchange(answer.is_unseen, false);
    return has_unseen;
  }

  // As new, for another invocation, where it has sent and published and nothing else. False: it is not.
  bool forget_effects() noexcept {
    constexpr size_t kKeptMax = 64;
    if (!asked.empty() || !answers.empty() || made.capacity() > kKeptMax) return false;
    made.clear();
    repeated = 0;
    has_asked = false;
    called_back = 0;
    call = nullptr;
    return true;
  }

  // ---- what was asked, and answered ----

  // Whether another question was asked under this id.
  bool has_asked_another(std::string_view request_id, uint64_t digest) const noexcept {
    const auto known = asked.find(request_id);
    return known != asked.end() && known->second != digest;
  }
  // Throws std::bad_alloc.
  void note_question(std::string_view request_id, uint64_t digest) {
    asked.insert_or_assign(std::string(request_id), digest);
  }
  // Null where there is none of this id.
  Answer* find_answer(std::string_view request_id) noexcept {
    if (answer_index && !answer_index->empty()) {
      const size_t place = answer_index->find(request_id, IdAt{answers});
      return place == TextIndex::kNone ? nullptr : &answers[place];
    }
    for (Answer& answer : answers) {
      if (answer.request_id == request_id) return &answer;
    }
    return nullptr;
  }
  // None of this id is there. Throws std::bad_alloc, and has changed nothing then.
  void add_answer(std::string_view request_id, const Ref<Value>& value) {
    constexpr size_t kFew = 8;  // up to here, each is looked at
    const size_t count = answers.size();
    const size_t unindexed = answer_index && !answer_index->empty() ? 0 : count;
    if (count >= kFew) {
      if (!answer_index) answer_index = std::make_unique<TextIndex>();
      answer_index->reserve(unindexed + 1, IdAt{answers});
    }
    answers.push_back({std::string(request_id), value});
    if (count < kFew) return;
    for (size_t place = count - unindexed; place <= count; ++place)
      answer_index->put(answers[place].request_id, place, IdAt{answers});
  }

 private:
  struct IdAt {
    const std::vector<Answer>& answers;
    std::string_view operator()(size_t place) const noexcept { return answers[place].request_id; }
  };
};

}  // namespace blazen
