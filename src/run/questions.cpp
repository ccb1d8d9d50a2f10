#include "run/questions.hpp"

#include <algorithm>
#include <bit>
#include <utility>

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
  Question* spares = &own;
  uint32_t size = 0;
  uint32_t spare_count = 1;
  std::unique_ptr<std::vector<Question*>> buckets;  // a power of two; null while there are few
  Question own;                                     // most runs that ask need no other

  Table() noexcept = default;
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  ~Table() {
    delete_all(first);
    delete_all(spares);
  }

  void delete_all(Question* item) noexcept {
    while (item != nullptr) {
      Question* gone = std::exchange(item, item->next());
      if (gone != &own) delete gone;
    }
  }
  bool has_buckets() const noexcept { return buckets != nullptr; }
  Question** bucket_of(uint64_t hash) noexcept { return &(*buckets)[hash & (buckets->size() - 1)]; }
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
  if (!table_->has_buckets()) {
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
  if (count <= std::max(kFew, buckets ? buckets->size() : 0)) return;
  buckets = std::make_unique<std::vector<Question*>>(std::bit_ceil(count) * 2, nullptr);
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
  if (!has_buckets()) return;
  question.hash_ = hash_text(question.request->correlation());
  put_into_bucket(question);
}

void Questions::remove(Question& question) noexcept {
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
  if (!has_buckets()) return;
  Question** at = bucket_of(question.hash_);
  while (*at != &question) at = &(*at)->next_in_bucket_;
  *at = question.next_in_bucket_;
}

void Questions::Table::keep(Question* question) noexcept {
  question->request.reset();
  question->deadline.reset();
  if (spare_count >= kSparesMax && question != &own) {
    delete question;
    return;
  }
  question->next_ = std::exchange(spares, question);
  ++spare_count;
}

void Questions::take(Questions& other) noexcept { table_ = std::move(other.table_); }

void Questions::clear() noexcept { table_.reset(); }

}  // namespace blazen
