// Proves that no choice of what stands in a snapshot, in a key or in a type makes the library slow: time is
// in proportion to the bytes. Each crafted input is measured against a plain one of the same size, or against
// one of a quarter of its size, by the time of this thread's processor; the bounds are far from both what is
// right and what went wrong (a hundredfold and more).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>

#include "base/text_hash.hpp"
#include "run/key_table.hpp"
#include "run/type_table.hpp"
#include "snapshot_samples.hpp"

namespace blazen::hostile_time {

using samples::Hosting;
using samples::sample_workflow;

// ---- measuring ----

double seconds_now() {
  timespec now{};
#ifdef CLOCK_THREAD_CPUTIME_ID
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
#else
  timespec_get(&now, TIME_UTC);
#endif
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// The least of a few runs: what disturbs a run makes it longer.
double seconds_of(const std::function<void()>& work) {
  double least = 1e9;
  for (int round = 0; round < 3; ++round) {
    const double begin = seconds_now();
    work();
    least = std::min(least, seconds_now() - begin);
  }
  return least;
}

constexpr double kSlack = 0.005;  // of a measurement, in seconds

// ---- snapshots by hand ----

template <class Write>
std::string item(Write write) {
  CborWriter writer;
  write(writer);
  return {reinterpret_cast<const char*>(writer.data()), writer.size()};
}
std::string u(uint64_t number) {
  return item([&](CborWriter& writer) { writer.unsigned_int(number); });
}
std::string t(std::string_view text) {
  return item([&](CborWriter& writer) { writer.text(text); });
}
std::string a(const std::vector<std::string>& items) {
  std::string array = item([&](CborWriter& writer) { writer.array(items.size()); });
  for (const std::string& content : items) array += content;
  return array;
}
std::string list(size_t count, const std::function<std::string(uint64_t)>& make) {
  std::vector<std::string> items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) items.push_back(make(i));
  return a(items);
}

const std::string kNull = "\xf6";
const std::string kEmpty = "\x80";

// A running run of the sample workflow.
struct Bytes {
  std::string events = kEmpty;
  std::string queued = kEmpty;
  std::string delayed = kEmpty;
  std::string backing_off = kEmpty;
  std::string asking = kEmpty;
  std::string questions = kEmpty;
  std::string answers = kEmpty;
  std::string asked = kEmpty;

  std::string all() const {
    constexpr uint64_t most = uint64_t{1} << 60;
    const std::string fields[] = {t("blazen/run"),
                                  u(1),
                                  t("0.2.0"),
                                  t("orders"),
                                  t(sample_workflow(Hosting::all)->fingerprint()),
                                  "\x50" + std::string(16, 'i'),
                                  u(2),
                                  a({u(most), u(most), u(0), u(0)}),
                                  kNull,
                                  kNull,
                                  kEmpty,
                                  kEmpty,
                                  a({t("split"), t("work"), t("check"), t("remote"), t("join")}),
                                  events,
                                  kEmpty,
                                  queued,
                                  kNull,
                                  kEmpty,
                                  a({u(0), u(0)}),
                                  delayed,
                                  backing_off,
                                  asking,
                                  questions,
                                  answers,
                                  u(0),
                                  asked};
    std::string bytes = "\xd9\xd9\xf7" + item([&](CborWriter& writer) { writer.map(std::size(fields)); });
    for (size_t key = 0; key < std::size(fields); ++key) bytes += u(key) + fields[key];
    return bytes;
  }
};

std::string event(uint64_t id, std::string_view type, std::string_view json, std::string_view correlation) {
  return a({u(id), t(type), t(json), kNull, correlation.empty() ? kNull : t(correlation)});
}

double seconds_to_decode(const std::string& bytes, bool is_sound = true) {
  return seconds_of([&] {
    Result<SnapshotDocument> document = decode_snapshot(samples::bytes_of(bytes));
    EXPECT_EQ(static_cast<bool>(document), is_sound) << (document ? "" : document.error()->message);
  });
}

double seconds_to_restore(const std::string& bytes) {
  Result<SnapshotDocument> document = decode_snapshot(samples::bytes_of(bytes));
  EXPECT_TRUE(document) << document.error()->message;
  if (!document) return 0;
  return seconds_of([&] {
    RunState state;
    const Ref<Workflow> workflow = samples::workflow_named(document->workflow, Hosting::all);
    const Ref<Error> error = samples::restore(*document, workflow, false, state);
    EXPECT_FALSE(error) << error->message;
  });
}

// ---- reading ----

std::string timers_of_one_question(size_t count) {
  Bytes bytes;
  bytes.events = a({event(1, kInputRequest, std::string(2 * count, ' ') + "{}", "q")});
  bytes.delayed = list(count, [](uint64_t i) { return a({u(i), u(0), kNull}); });
  return bytes.all();
}

TEST(HostileTime, ManyTimersOfOneLongQuestionAreReadInTheTimeOfTheirBytes) {
  const double once = seconds_to_decode(timers_of_one_question(10000));
  EXPECT_LT(seconds_to_decode(timers_of_one_question(40000)), 8 * once + kSlack);
}

// Refused where the second one stands, and not after a comparison of a hundred thousand long names.
TEST(HostileTime, ManyQuestionsOfOneEventAreRefusedAtOnce) {
  Bytes bytes;
  bytes.events = a({event(1, kInputRequest, "{}", std::string(1024, 'q'))});
  bytes.questions = list(100000, [](uint64_t) { return a({u(0), u(0), u(0)}); });
  const double of_timers = seconds_to_decode(timers_of_one_question(100000));
  EXPECT_LT(seconds_to_decode(bytes.all(), false), of_timers / 2 + kSlack);
}

// ---- restoring ----

// Multiples of the sizes that a table of the standard library has on its way to this many entries: where it
// took the remainder, all would be in one place.
uint64_t crafted(uint64_t i) { return (i + 1) * uint64_t{20753} * 42043; }
uint64_t plain(uint64_t i) { return i + 1; }

std::string backing_off(size_t count, uint64_t (*id)(uint64_t)) {
  Bytes bytes;
  bytes.events = a({event(1, "Work", "1", {})});
  bytes.queued = list(count, [&](uint64_t i) { return a({u(id(i)), u(1), u(0), u(1), "\x40"}); });
  bytes.backing_off = list(count, [&](uint64_t i) { return a({u(i), u(id(i))}); });
  return bytes.all();
}

std::string answered(size_t count, uint64_t (*id)(uint64_t)) {
  Bytes bytes;
  bytes.events = a({event(1, "Work", "1", {})});
  bytes.queued = list(count, [&](uint64_t i) { return a({u(id(i)), u(1), u(0), u(1), "\x40"}); });
  bytes.answers = list(count, [&](uint64_t i) { return a({u(id(i)), t("q"), t("1")}); });
  bytes.asked = list(count, [&](uint64_t i) { return a({u(id(i)), t("q"), u(7)}); });
  return bytes.all();
}

std::string asking(size_t count, uint64_t (*id)(uint64_t)) {
  const auto name = [](uint64_t i) { return "q" + std::to_string(i); };
  Bytes bytes;
  bytes.events = list(count, [&](uint64_t i) { return event(i + 1, kInputRequest, "{}", name(i)); });
  bytes.queued = list(count, [&](uint64_t i) { return a({u(id(i)), u(1), u(0), u(1), "\x40"}); });
  bytes.asking = list(count, [&](uint64_t i) { return u(id(i)); });
  bytes.questions = list(count, [&](uint64_t i) { return a({u(i), u(id(i)), u(0)}); });
  bytes.asked = list(count, [&](uint64_t i) { return a({u(id(i)), t(name(i)), u(7)}); });
  return bytes.all();
}

TEST(HostileTime, CraftedIdsOfInvocationsAreRestoredAsSoonAsPlainOnes) {
  for (const auto make : {backing_off, answered, asking}) {
    const double of_plain = seconds_to_restore(make(15000, plain));
    EXPECT_LT(seconds_to_restore(make(15000, crafted)), 5 * of_plain + kSlack);
  }
}

// ---- scopes ----

// What a run of the workflow with scopes has in them: so many of each.
struct Scoped {
  std::string scopes = kEmpty;  // a list
  std::string members;          // the same; empty: none
  std::string queued = a({a({u(2), u(0), u(0), u(1), "\x40"})});

  std::string all() const {
    Bytes bytes;
    bytes.events = a({event(1, "T", "1", {})});
    bytes.queued = queued;
    std::string text = bytes.all();
    const auto put = [&](const std::string& from, const std::string& to) {
      const size_t at = text.find(from);
      if (at != std::string::npos) text.replace(at, from.size(), to);
    };
    put(t("orders"), t("joined"));
    put(t(sample_workflow(Hosting::all)->fingerprint()),
        t(samples::joined_workflow(Hosting::all)->fingerprint()));
    put(a({t("split"), t("work"), t("check"), t("remote"), t("join")}),
        a({t("split"), t("work"), t("open"), t("race"), t("join"), t("count"), t("group"), t("won"),
           t("remote")}));
    text[4] = static_cast<char>(text[4] + (members.empty() ? 2 : 3));  // the number of keys
    text += u(35) + a({t("0.2.0"), u(1), a({u(uint64_t{1} << 60), scopes})});
    if (!members.empty()) text += u(36) + a({t("0.2.0"), u(1), members});
    text += u(40) + a({t("0.2.0"), u(1), a({u(0), u(0)})});
    return text;
  }
};

std::string scope(uint64_t id, uint64_t parent, uint64_t opener, uint64_t opened_by,
                  const std::string& joins) {
  return a({u(id), u(parent), u(0), u(opener), u(opened_by), u(0), u(0), joins});
}
std::string one_group(const std::string& groups) {
  return a({scope(1, 0, 0, 2, a({a({u(4), u(0), kNull, kEmpty}), a({u(5), u(0), kNull, kEmpty})})),
            scope(2, 1, 2, 0, a({a({u(6), u(0), kNull, groups})}))});
}
const std::string kMember = a({a({u(0), u(2), u(2), u(0)})});

std::string groups_of_one_event(size_t count) {
  Scoped made;
  made.members = kMember;
  made.scopes = one_group(list(
      count, [](uint64_t i) { return a({t("group " + std::to_string(10'000'000 + i)), u(1), kEmpty}); }));
  return made.all();
}

std::string arrivals_of_one_group(size_t count) {
  Scoped made;
  made.members = kMember;
  made.scopes = one_group(a({a({kNull, u(0), list(count, [](uint64_t) { return a({u(0), u(0)}); })})}));
  return made.all();
}

std::string scopes_within_scopes(size_t count) {
  Scoped made;
  made.queued = list(count, [](uint64_t i) { return a({u(i + 2), u(1), u(0), u(1), "\x40"}); });
  made.members = list(count, [](uint64_t i) { return a({u(0), u(i + 2), u(i + 1), u(0)}); });
  made.scopes = list(count, [](uint64_t i) {
    return scope(i + 1, i, 2, 0, a({a({u(6), u(0), u(i), a({a({kNull, u(0), a({a({u(0), u(0)})})})})})}));
  });
  return made.all();
}

std::string scopes_beside_scopes(size_t count) {
  Scoped made;
  made.queued = list(count, [](uint64_t i) { return a({u(i + 2), u(0), u(0), u(1), "\x40"}); });
  made.scopes = list(count, [](uint64_t i) {
    return scope(i + 1, 0, 0, i + 2, a({a({u(4), u(0), u(0), kEmpty}), a({u(5), u(1), kNull, kEmpty})}));
  });
  return made.all();
}

TEST(HostileTime, ScopesAreReadAndRestoredInTheTimeOfTheirBytes) {
  for (const auto make :
       {groups_of_one_event, arrivals_of_one_group, scopes_within_scopes, scopes_beside_scopes}) {
    const std::string small = make(16384);
    const std::string large = make(65536);
    EXPECT_LT(seconds_to_decode(large), 8 * seconds_to_decode(small) + kSlack);
    EXPECT_LT(seconds_to_restore(large), 8 * seconds_to_restore(small) + kSlack);
  }
}

// ---- keys and types ----

// While it lives, texts are hashed with these seeds: only tables that are made meanwhile may be used
// meanwhile.
class Seeds {
 public:
  explicit Seeds(TextSeeds seeds) noexcept : before_(std::exchange(text_seeds, seeds)) {}
  Seeds(const Seeds&) = delete;
  Seeds& operator=(const Seeds&) = delete;
  ~Seeds() { text_seeds = before_; }

 private:
  const TextSeeds before_;
};

constexpr TextSeeds kKnown{0xa0761d6478bd642fU, 0xe7037ed1a0b428dbU};
constexpr TextSeeds kOthers{0x123456789abcdef1U, 0xfedcba987654321fU};

// Texts of 16 bytes with one hash under the seeds in force: the last 8 make up for the first.
std::vector<std::string> colliding(size_t count) {
  std::vector<std::string> texts;
  for (uint64_t i = 0; texts.size() < count; ++i) {
    std::string text(16, 'a');
    for (size_t k = 0; k < 8; ++k) text[k] = static_cast<char>('a' + (i >> (4 * k)) % 16);
    const uint64_t sum =
        fold_multiply((text_seeds.sum ^ text.size()) ^ load_8(text.data()), text_seeds.factor);
    const uint64_t last = sum ^ 0x0123456789abcdefU;
    if ((last & 0x8080808080808080U) != 0) continue;  // no ASCII
    std::memcpy(text.data() + 8, &last, 8);
    texts.push_back(std::move(text));
  }
  return texts;
}

std::vector<std::string> plain_texts(size_t count) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) texts.push_back("a plain key " + std::to_string(1000 + i));
  return texts;
}

double seconds_to_keep(const std::vector<std::string>& keys) {
  return seconds_of([&] {
    const Ref<KeyTable> table = Ref<KeyTable>::adopt(new KeyTable);
    for (const std::string& key : keys) table->insert(key, Value::null(), 1);
    for (const std::string& key : keys) EXPECT_NE(table->find(key), nullptr);
  });
}

TEST(TextHash, TextsThatCollideUnderKnownSeedsDoNotInThisProcess) {
  std::vector<std::string> texts;
  {
    const Seeds seeds(kKnown);
    texts = colliding(6000);
    for (const std::string& text : texts) ASSERT_EQ(hash_text(text), hash_text(texts.front()));
  }
  const double of_plain = seconds_to_keep(plain_texts(texts.size()));
  EXPECT_LT(seconds_to_keep(texts), 5 * of_plain + kSlack);
  TypeTable types;
  std::vector<uint64_t> hashes;
  for (const std::string& text : texts) hashes.push_back(hash_text(text));
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::unique(hashes.begin(), hashes.end()), hashes.end());
}

// A process of its own has seeds of its own: it compares with ours.
TEST(TextHash, EachProcessHasItsOwnSeeds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto leave = [] {
    const char* given = std::getenv("BLAZEN_TEST_SEEDS");
    const std::string own = std::to_string(text_seeds.sum) + " " + std::to_string(text_seeds.factor);
    std::exit(given != nullptr && own != given ? 0 : 1);
  };
  if (std::getenv("BLAZEN_TEST_SEEDS") == nullptr) {
    const std::string own = std::to_string(text_seeds.sum) + " " + std::to_string(text_seeds.factor);
    setenv("BLAZEN_TEST_SEEDS", own.c_str(), 1);
  }
  EXPECT_EXIT(leave(), testing::ExitedWithCode(0), "");
  unsetenv("BLAZEN_TEST_SEEDS");
}

// Snapshots of runs in every state, the same runs from them, and what they say of themselves.
std::vector<std::string> everything_visible() {
  std::vector<std::string> seen;
  for (const samples::Sample& sample : samples::make_samples()) {
    const std::string bytes = samples::snapshot(sample.state);
    Result<SnapshotDocument> document = decode_snapshot(samples::bytes_of(bytes));
    seen.push_back(bytes);
    seen.push_back(describe_snapshot(*document));
    RunState state;
    if (!samples::restore(*document, samples::workflow_named(document->workflow, Hosting::all), false, state))
      seen.push_back(samples::snapshot(state));
  }
  // Keys in no order, some of them removed again.
  samples::Driver driver(sample_workflow(Hosting::all));
  driver.start(samples::json("{}"));
  for (const std::string& key : plain_texts(500)) {
    const std::string turned(key.rbegin(), key.rend());
    driver.set(turned, samples::json("1"));
    driver.set_session(turned, samples::live());
    if (key.back() == '3') driver.remove(turned);
  }
  Result<std::string> refused = samples::try_snapshot(driver.state);
  seen.push_back(refused ? *refused : refused.error()->message);
  driver.state.session.reset();
  seen.push_back(samples::snapshot(driver.state));
  return seen;
}

TEST(TextHash, NothingVisibleDependsOnTheSeeds) {
  std::vector<std::string> first;
  {
    const Seeds seeds(kKnown);
    first = everything_visible();
  }
  const Seeds seeds(kOthers);
  EXPECT_EQ(first, everything_visible());
}

}  // namespace blazen::hostile_time
