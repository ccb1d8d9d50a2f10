#include "run/questions.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/milliseconds.hpp"
#include "base/text_hash.hpp"
#include "run/invocation.hpp"

namespace blazen {

struct Questions::Table {
  // So few are found by looking at each: most runs that ask have one question at a time.
  static constexpr size_t kFew = 8;
  // Kept for the next ones; more are given back.
  static constexpr size_t kSparesMax = 16;

  Question* first = nullptr;
  Question* last = nullptr;
  size_t size = 0;
  Question* spares = nullptr;
  size_t spare_count = 0;
  std::vector<Question*> buckets;  // a power of two; empty while there are few
  Deadlines deadlines;

  Table() noexcept = default;
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  ~Table() {
    delete_all(first);
    delete_all(spares);
  }

  static void delete_all(Question* item) noexcept {
    while (item != nullptr) delete std::exchange(item, item->next());
  }
  Question** bucket_of(uint64_t hash) noexcept { return &buckets[hash & (buckets.size() - 1)]; }
  void put_into_bucket(Question& question) noexcept {
    Question** bucket = bucket_of(question.hash_);
    question.next_in_bucket_ = std::exchange(*bucket, &question);
  }
  void grow(size_t count);
  void keep(Question* question) noexcept;
  void link(Question& question) noexcept;
  void unlink(Question& question) noexcept;
};

Questions::Questions() noexcept = default;
Questions::Questions(Questions&& other) noexcept = default;
Questions& Questions::operator=(Questions&& other) noexcept = default;
Questions::~Questions() = default;

size_t Questions::size() const noexcept { return table_ ? table_->size : 0; }
Question* Questions::first() const noexcept { return table_ ? table_->first : nullptr; }
Question* Questions::last() const noexcept { return table_ ? table_->last : nullptr; }

Question* Questions::find(std::string_view id) const noexcept {
  if (empty()) return nullptr;
  if (table_->buckets.empty()) {
    Question* item = table_->first;
    while (item != nullptr && item->request->correlation() != id) item = item->next_;
    return item;
  }
  const uint64_t hash = hash_text(id);
  Question* item = *table_->bucket_of(hash);
  while (item != nullptr && (item->hash_ != hash || item->request->correlation() != id))
    item = item->next_in_bucket_;
  return item;
}

void Questions::reserve(size_t count) {
  if (count == 0) return;
  if (!table_) table_ = std::make_unique<Table>();
  Table& table = *table_;
  table.grow(table.size + count);
  while (table.spare_count < count) {
    auto* made = new Question;
    made->next_ = std::exchange(table.spares, made);
    ++table.spare_count;
  }
}

// Room for so many in the buckets.
void Questions::Table::grow(size_t count) {
  if (count <= std::max(kFew, buckets.size())) return;
  buckets = std::vector<Question*>(std::bit_ceil(count) * 2, nullptr);
  for (Question* item = first; item != nullptr; item = item->next_) {
    item->hash_ = hash_text(item->request->correlation());
    put_into_bucket(*item);
  }
}

Question& Questions::add(Ref<Event> request, Invocation* asker, int64_t asked_ms, int64_t since_ms) noexcept {
  Table& table = *table_;
  Question& question = *std::exchange(table.spares, table.spares->next_);
  --table.spare_count;
  question.request = std::move(request);
  question.asker = asker;
  question.asked_ms = asked_ms;
  question.since_ms = since_ms;
  question.calls_back = false;
  question.handed_out = false;
  question.deadline_ms = 0;
  question.membership = 0;
  table.link(question);
  return question;
}

void Questions::Table::link(Question& question) noexcept {
  question.next_ = nullptr;
  question.previous_ = std::exchange(last, &question);
  (question.previous_ != nullptr ? question.previous_->next_ : first) = &question;
  ++size;
  question.previous_of_asker_ = nullptr;
  question.next_of_asker_ = nullptr;
  if (question.asker != nullptr) {
    Question*& newest = question.asker->journal->questions;
    if (newest != nullptr) newest->previous_of_asker_ = &question;
    question.next_of_asker_ = std::exchange(newest, &question);
  }
  if (buckets.empty()) return;
  question.hash_ = hash_text(question.request->correlation());
  put_into_bucket(question);
}

Questions::DeadlineNode Questions::make_deadline() {
  Deadlines one;
  one.try_emplace({});
  return one.extract(one.begin());
}

void Questions::set_deadline(Question& question, DeadlineNode node, int64_t due_ms) noexcept {
  question.due_ms_ = due_ms;
  node.key() = {due_ms, question.request->id};
  node.mapped() = &question;
  table_->deadlines.insert(std::move(node));
}

// The order stays as it is.
void Questions::shift_deadlines(int64_t by_ms) noexcept {
  if (empty() || table_->deadlines.empty()) return;
  Deadlines earlier;
  earlier.swap(table_->deadlines);
  while (!earlier.empty()) {
    DeadlineNode node = earlier.extract(earlier.begin());
    Question& question = *node.mapped();
    set_deadline(question, std::move(node), add_ms(question.due_ms_, by_ms));
  }
}

Question* Questions::first_due() const noexcept {
  return empty() || table_->deadlines.empty() ? nullptr : table_->deadlines.begin()->second;
}

int64_t Questions::first_due_ms() const noexcept {
  const Question* first = first_due();
  return first == nullptr ? INT64_MAX : first->due_ms_;
}

void Questions::remove(Question& question) noexcept {
  if (question.deadline_ms != 0) table_->deadlines.erase({question.due_ms_, question.request->id});
  table_->unlink(question);
  table_->keep(&question);
}

void Questions::Table::unlink(Question& question) noexcept {
  (question.previous_ != nullptr ? question.previous_->next_ : first) = question.next_;
  (question.next_ != nullptr ? question.next_->previous_ : last) = question.previous_;
  --size;
  if (question.asker != nullptr) {
    Question*& newest = question.asker->journal->questions;
    (question.previous_of_asker_ != nullptr ? question.previous_of_asker_->next_of_asker_ : newest) =
        question.next_of_asker_;
    if (question.next_of_asker_ != nullptr)
      question.next_of_asker_->previous_of_asker_ = question.previous_of_asker_;
  }
  if (buckets.empty()) return;
  Question** at = bucket_of(question.hash_);
  while (*at != &question) at = &(*at)->next_in_bucket_;
  *at = question.next_in_bucket_;
}

void Questions::Table::keep(Question* question) noexcept {
  question->request.reset();
  question->default_answer.reset();
  if (spare_count >= kSparesMax) {
    delete question;
    return;
  }
  question->next_ = std::exchange(spares, question);
  ++spare_count;
}

void Questions::remove_of(Invocation& asker) noexcept {
  while (Question* newest = asker.journal->questions) remove(*newest);
}

void Questions::take(Questions& other) noexcept { table_ = std::move(other.table_); }

void Questions::clear() noexcept { table_.reset(); }

}  // namespace blazen
