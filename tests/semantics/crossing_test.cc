// One call where several were needed says and does the same as they: views of events, errors and values, a
// step with all its options, the end of an invocation, many items of a stream, a poll with the next moment.
// And what has no other form: whose object a value is, whether the host has to answer, a callback that is
// taken back.
#include "support/control.hpp"
#include "support/streams.hpp"

using namespace bt;  // NOLINT(google-build-using-namespace)

namespace {

std::string text_or_null(const char* text, size_t length) {
  return text == nullptr ? "<none>" : std::string(text, length);
}

// ----------------------------------------------------------------------------------------------------- views

TEST(AView, OfAnEventSaysWhatTheGettersSay) {
  Engine engine(Way::pump);
  std::string said;
  Spec spec;
  spec.start([](Ctx& ctx) { ctx.emit(event("Job", native("pickle", "python/pickle"), "abc")); });
  spec.step("job", {"Job"}, [&](Ctx& ctx) {
    blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
    EXPECT_EQ(blazen_event_read(ctx.trigger(), &view), 1);
    said = text_or_null(view.type, view.type_length) + " from " +
           text_or_null(view.source, view.source_length) + " for " +
           text_or_null(view.correlation, view.correlation_length) + ": " + std::to_string(view.tag) + " " +
           text_or_null(view.codec, view.codec_length) + " " +
           text_or_null(static_cast<const char*>(view.data), view.data_length);
    EXPECT_EQ(view.id, blazen_event_id(ctx.trigger()));
    EXPECT_EQ(view.value, blazen_event_value(ctx.trigger()));
    EXPECT_EQ(view.struct_size, sizeof view);
    ctx.stop();
  });
  EXPECT_EQ(run_to_end(engine, spec).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(said, "Job from start for abc: 3 python/pickle pickle");
}

TEST(AView, OfAnEventFromOutsideHasNoSourceAndOfALiveValueNoData) {
  Counted object;
  const Event made = event("E", live(object).get());
  blazen_event_view view = BLAZEN_EVENT_VIEW_INIT;
  ASSERT_EQ(blazen_event_read(made, &view), 1);
  EXPECT_EQ(view.source, nullptr);
  EXPECT_EQ(view.correlation, nullptr);
  EXPECT_EQ(view.data, nullptr);
  EXPECT_EQ(text_or_null(view.codec, view.codec_length), "test/counted");
  EXPECT_EQ(blazen_value_object(view.value), &object);
}

TEST(AView, OfAnErrorSaysWhatTheGettersSay) {
  Engine engine(Way::pump);
  const Outcome failed =
      run_to_end(engine, Spec().start([](Ctx&) -> blazen_status { return BLAZEN_ERROR_LIMIT; }));
  blazen_error_view view = BLAZEN_ERROR_VIEW_INIT;
  ASSERT_EQ(blazen_error_read(failed.error, &view), 1);
  EXPECT_EQ(view.status, failed.error.status());
  EXPECT_EQ(text_or_null(view.message, view.message_length), failed.error.message());
  EXPECT_EQ(text_or_null(view.step, view.step_length), "start");
  EXPECT_EQ(view.attempt, 1U);
  EXPECT_EQ(view.host_code, 0);
  EXPECT_EQ(view.offset, UINT64_MAX);
  EXPECT_EQ(view.detail, nullptr);
  ASSERT_NE(view.cause, nullptr);
  const Value detail = json("[1]");
  Error host;
  (void)blazen_error_host(7, BLAZEN_TEXT("gone"), detail, host.out());
  ASSERT_EQ(blazen_error_read(host, &view), 1);
  EXPECT_EQ(view.host_code, 7);
  EXPECT_EQ(view.detail, detail);
  EXPECT_EQ(view.step, nullptr);
  EXPECT_EQ(view.cause, nullptr);
}

TEST(AView, OfAnOlderHeaderIsFilledAsFarAsItGoesAndOfANewerOneZeroed) {
  const Event made = event("Type", "[1]");
  alignas(16) unsigned char memory[512];
  const auto read = [&](size_t size) {
    std::memset(memory, 0xa5, sizeof memory);
    std::memcpy(memory, &size, sizeof size);
    return blazen_event_read(made, reinterpret_cast<blazen_event_view*>(memory));
  };
  for (const size_t size : {sizeof(size_t), size_t{24}, sizeof(blazen_event_view), size_t{256}}) {
    ASSERT_EQ(read(size), 1);
    for (size_t i = size; i < sizeof memory; ++i) ASSERT_EQ(memory[i], 0xa5) << size << " at " << i;
    for (size_t i = sizeof(blazen_event_view); i < size; ++i) ASSERT_EQ(memory[i], 0) << size << " at " << i;
  }
  for (const size_t size : {size_t{0}, size_t{1}, sizeof(size_t) + 3, size_t{4097}, SIZE_MAX}) {
    EXPECT_EQ(read(size), 0);
    for (size_t i = sizeof size; i < sizeof memory; ++i) ASSERT_EQ(memory[i], 0xa5) << size << " at " << i;
  }
}

// ---------------------------------------------------------------------------------------------------- values

blazen_value_view read_key(Ctx& ctx, std::string_view key) {
  blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
  MUST(blazen_context_read(ctx.raw, key.data(), key.size(), &view, e));
  return view;
}

// Counts its end; as data of the state, which takes no LIVE value.
Value adopted(Counted& object) {
  static const char kData[] = "data";
  Value value;
  MUST(blazen_value_adopt(BLAZEN_TAG_BYTES, kData, 4, nullptr, 0, &object, Counted::drop, value.out(), e));
  return value;
}

TEST(AValueThatIsRead, LivesUntilTheNextOneWhateverBecomesOfItsKey) {
  Engine engine(Way::pump);
  Counted first;
  Counted second;
  Spec spec;
  spec.start([&](Ctx& ctx) {
    ctx.set("a", adopted(first));
    ctx.set("b", adopted(second));
    blazen_value_view view = read_key(ctx, "a");
    EXPECT_EQ(view.tag, BLAZEN_TAG_BYTES);
    EXPECT_EQ(view.version, ctx.version("a"));
    EXPECT_EQ(text_or_null(static_cast<const char*>(view.data), view.data_length), "data");
    EXPECT_EQ(blazen_value_data(view.value, nullptr), view.data);
    ctx.remove("a");
    EXPECT_EQ(first.drops, 0);
    Error error;
    EXPECT_EQ(blazen_context_read(ctx.raw, "", 0, &view, error.out()), BLAZEN_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(first.drops, 0) << "a call that fails has changed nothing";
    view = read_key(ctx, "b");
    EXPECT_EQ(first.drops, 1);
    ctx.remove("b");
    EXPECT_EQ(second.drops, 0);
    view = read_key(ctx, "not there");
    EXPECT_EQ(second.drops, 1);
    EXPECT_EQ(view.value, nullptr);
    EXPECT_EQ(view.tag, BLAZEN_TAG_NONE);
    EXPECT_EQ(view.version, 0U);
    ctx.stop();
  });
  EXPECT_EQ(run_to_end(engine, spec).state, BLAZEN_RUN_COMPLETED);
}

TEST(AValueThatIsRead, IsLetGoOfWhenItsInvocationIsOver) {
  Engine engine(Way::pump);
  Counted object;
  int in_next = -1;
  Spec spec;
  spec.start([&](Ctx& ctx) {
    ctx.set("a", adopted(object));
    read_key(ctx, "a");
    ctx.remove("a");
    EXPECT_EQ(object.drops, 0);
    ctx.emit("Next");
  });
  spec.step("next", {"Next"}, [&](Ctx& ctx) {
    in_next = object.drops;
    ctx.stop();
  });
  EXPECT_EQ(run_to_end(engine, spec).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(in_next, 1);
}

TEST(AValueThatIsRead, OfADeferredInvocationLivesUntilThatIsCompleted) {
  Engine engine(Way::pump);
  PendingStep step;
  Counted object;
  const RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  Ctx ctx = step.ctx();
  ctx.set("a", adopted(object));
  read_key(ctx, "a");
  ctx.remove("a");
  EXPECT_EQ(object.drops, 0);
  step.stop();
  EXPECT_EQ(object.drops, 1);
}

TEST(AnObject, IsOfTheBindingWhoseDropMadeIt) {
  struct Other {
    static void drop(void*) {}
  };
  Counted mine;
  int others = 0;
  const Value of_mine = live(mine);
  Value of_other;
  MUST(blazen_value_live(&others, BLAZEN_TEXT("test/counted"), Other::drop, of_other.out(), e));
  Value of_nobody;
  MUST(blazen_value_live(&others, BLAZEN_TEXT("test/counted"), nullptr, of_nobody.out(), e));
  EXPECT_EQ(blazen_value_object_of(of_mine, Counted::drop), &mine);
  EXPECT_EQ(blazen_value_object_of(of_mine, Other::drop), nullptr);
  EXPECT_EQ(blazen_value_object_of(of_other, Other::drop), &others);
  EXPECT_EQ(blazen_value_object_of(of_other, Counted::drop), nullptr);
  EXPECT_EQ(blazen_value_object_of(of_nobody, nullptr), nullptr);
  EXPECT_EQ(blazen_value_object_of(adopted(mine), Counted::drop), &mine);
  EXPECT_EQ(blazen_value_object_of(json("1"), Counted::drop), nullptr);
}

// ---------------------------------------------------------------------------------------------------- a step

struct Cancelled {
  std::mutex lock;
  std::vector<std::string> calls;
  std::function<blazen_status(Ctx&)> body;
  std::atomic<int> drops{0};

  static blazen_status run(void* self, blazen_context* context, const blazen_event* event,
                           blazen_error** error) {
    Ctx ctx(context, event, error);
    return static_cast<Cancelled*>(self)->body(ctx);
  }
  static void call(void* self, blazen_context* context) {
    auto* all = static_cast<Cancelled*>(self);
    size_t length = 0;
    const char* name = blazen_context_step_name(context, &length);
    const std::lock_guard guard(all->lock);
    all->calls.push_back(text_of(name, length) + " " + std::to_string(blazen_context_invocation_id(context)) +
                         "/" + std::to_string(blazen_context_attempt(context)) +
                         (blazen_context_is_cancelled(context) == 1 ? " cancelled" : " at work"));
  }
  static void drop(void* self) { static_cast<Cancelled*>(self)->drops.fetch_add(1); }
  std::vector<std::string> all() {
    const std::lock_guard guard(lock);
    return calls;
  }
};
using Calls = std::vector<std::string>;

Workflow with_step(Cancelled& step, blazen_step_options options,
                   const std::vector<const char*>& types = {BLAZEN_START_EVENT}) {
  std::vector<size_t> lengths;
  for (const char* type : types) lengths.push_back(std::strlen(type));
  options.accepts = types.data();
  options.accept_lengths = lengths.data();
  options.accept_count = types.size();
  Builder builder;
  Workflow workflow;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  MUST(blazen_workflow_builder_add_step_with(builder, BLAZEN_TEXT("s"), &options, Cancelled::run, &step,
                                             Cancelled::drop, e));
  MUST(blazen_workflow_builder_build(builder, workflow.out(), e));
  return workflow;
}

TEST(AStepWithOptions, IsTheOneThatTheSingleCallsMake) {
  const auto noop = [](void*, blazen_context*, const blazen_event*, blazen_error**) -> blazen_status {
    return BLAZEN_OK;
  };
  const char* accepts[] = {BLAZEN_START_EVENT, "More"};
  const size_t accept_lengths[] = {std::strlen(accepts[0]), 4};
  const char* emits[] = {"More", BLAZEN_STOP_EVENT};
  const size_t emit_lengths[] = {4, std::strlen(emits[1])};
  const blazen_retry_options retry = retries(3, 10);
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.accepts = accepts;
  options.accept_lengths = accept_lengths;
  options.accept_count = 2;
  options.emits = emits;
  options.emit_lengths = emit_lengths;
  options.emit_count = 2;
  options.max_concurrency = 1;
  options.timeout_ms = 1000;
  options.atomic = 1;
  options.retry = &retry;
  options.abandoned = BLAZEN_ABANDONED_FREES_PERMIT;
  Workflow at_once;
  Builder builder;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  MUST(blazen_workflow_builder_add_step_with(builder, BLAZEN_TEXT("s"), &options, noop, nullptr, nullptr, e));
  MUST(blazen_workflow_builder_build(builder, at_once.out(), e));
  Workflow by_and_by;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  MUST(blazen_workflow_builder_add_step(builder, BLAZEN_TEXT("s"), accepts[0], accept_lengths[0], noop,
                                        nullptr, nullptr, e));
  MUST(blazen_workflow_builder_step_accepts(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT("More"), e));
  MUST(blazen_workflow_builder_build(builder, by_and_by.out(), e));
  EXPECT_STREQ(blazen_workflow_fingerprint(at_once, nullptr),
               blazen_workflow_fingerprint(by_and_by, nullptr));
}

TEST(AStepWithOptions, KeepsEachOfThem) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Cancelled step;
  int calls = 0;
  step.body = [&](Ctx& ctx) -> blazen_status {
    ++calls;
    EXPECT_FALSE(ctx.has("a")) << "it is atomic: nothing of an attempt that failed is there";
    ctx.set("a", "1");
    if (ctx.attempt() < 3) return BLAZEN_ERROR_HOST;
    return ctx.stop();
  };
  const blazen_retry_options retry = retries(3, 10);
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.atomic = 1;
  options.retry = &retry;
  RunHandle run = start(engine, with_step(step, options));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(engine.next_timer(), 10);
  engine.pass(10);
  EXPECT_EQ(engine.next_timer(), 20);
  engine.pass(20);
  EXPECT_EQ(outcome(run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(calls, 3);
}

TEST(AStepWithOptions, IsRefusedWholeAndDroppedOnce) {
  Cancelled step;
  Builder builder;
  MUST(blazen_workflow_builder_create(BLAZEN_TEXT("w"), builder.out(), e));
  int refused = 0;
  const auto refuse = [&](std::string_view part, const std::function<void(blazen_step_options&)>& spoil) {
    static const char* const types[] = {BLAZEN_START_EVENT, BLAZEN_START_EVENT};
    static const size_t lengths[] = {std::strlen(types[0]), std::strlen(types[1])};
    blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
    options.accepts = types;
    options.accept_lengths = lengths;
    options.accept_count = 1;
    spoil(options);
    Error error;
    const blazen_status status = blazen_workflow_builder_add_step_with(
        builder, BLAZEN_TEXT("s"), &options, Cancelled::run, &step, Cancelled::drop, error.out());
    EXPECT_GE(status, 100);
    EXPECT_TRUE(error.says(part)) << error.message();
    EXPECT_EQ(step.drops, ++refused) << part;
  };
  const blazen_retry_options bad_retry = retries(BLAZEN_ATTEMPTS_MAX + 1);
  refuse("options.accepts", [](blazen_step_options& o) { o.accept_count = 2; });
  refuse("options.accepts", [](blazen_step_options& o) { o.accepts = nullptr; });
  refuse("options.accepts", [](blazen_step_options& o) { o.accept_lengths = nullptr; });
  refuse("BLAZEN_ACCEPTS_MAX", [](blazen_step_options& o) { o.accept_count = SIZE_MAX; });
  refuse("options.emits", [](blazen_step_options& o) { o.emit_count = 1; });
  refuse("options.atomic", [](blazen_step_options& o) { o.atomic = 2; });
  refuse("options.timeout_ms", [](blazen_step_options& o) { o.timeout_ms = -1; });
  refuse("options.abandoned", [](blazen_step_options& o) { o.abandoned = 2; });
  refuse("options.retry.max_attempts", [&](blazen_step_options& o) { o.retry = &bad_retry; });
  Error error;
  EXPECT_EQ(blazen_workflow_builder_step_emits(builder, BLAZEN_TEXT("s"), BLAZEN_TEXT("E"), error.out()),
            BLAZEN_ERROR_NOT_FOUND);
}

TEST(AStepThatHearsOfItsCancelling, IsToldWhenTheRunEndsWhileItsBodyIsAtWork) {
  Engine engine(Way::pump);
  Cancelled step;
  step.body = [](Ctx& ctx) -> blazen_status {
    MUST(blazen_run_abort(ctx.run(), e));
    return BLAZEN_OK;
  };
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.cancelled = Cancelled::call;
  EXPECT_EQ(run_to_end(engine, with_step(step, options)).state, BLAZEN_RUN_CANCELLED);
  EXPECT_EQ(step.all(), Calls{"s 1/1 cancelled"});
  EXPECT_EQ(step.drops, 1);
}

TEST(AStepThatHearsOfItsCancelling, IsToldOnceWhileItsInvocationIsDeferred) {
  Engine engine(Way::pump);
  Cancelled step;
  Invocation kept;
  step.body = [&](Ctx& ctx) -> blazen_status {
    kept = ctx.defer();
    return BLAZEN_PENDING;
  };
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.cancelled = Cancelled::call;
  RunHandle run = start(engine, with_step(step, options));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  MUST(blazen_run_abort(run, e));
  EXPECT_EQ(step.all(), Calls{"s 1/1 cancelled"});
  EXPECT_EQ(blazen_invocation_complete(kept, nullptr), BLAZEN_ERROR_CANCELLED);
  EXPECT_EQ(step.all().size(), 1U);
}

TEST(AStepThatHearsOfItsCancelling, IsToldOfEachAttemptWhoseTimeIsUp) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Cancelled step;
  std::vector<Invocation> kept;
  step.body = [&](Ctx& ctx) -> blazen_status {
    kept.push_back(ctx.defer());
    return BLAZEN_PENDING;
  };
  const blazen_retry_options retry = retries(2);
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.timeout_ms = 100;
  options.retry = &retry;
  options.cancelled = Cancelled::call;
  RunHandle run = start(engine, with_step(step, options));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  engine.pass(100);
  EXPECT_EQ(step.all(), Calls{"s 1/1 cancelled"});
  engine.pass(100);
  EXPECT_EQ(step.all(), (Calls{"s 1/1 cancelled", "s 1/2 cancelled"}));
  EXPECT_EQ(outcome(run).state, BLAZEN_RUN_FAILED);
}

TEST(AStepThatHearsOfItsCancelling, HearsNothingOfBodiesThatHaveReturned) {
  Engine engine(Way::pump);
  Cancelled step;
  step.body = [](Ctx& ctx) -> blazen_status { return ctx.stop(); };
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.cancelled = Cancelled::call;
  EXPECT_EQ(run_to_end(engine, with_step(step, options)).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(step.all(), Calls{});
}

// What it is given stays what it is while the callback takes its time, and the body has returned long ago.
TEST(AStepThatHearsOfItsCancelling, HasTheSameContextAfterTheBodyHasReturned) {
  NEEDS_THREADS();
  struct Slow : Cancelled {
    std::atomic<bool> is_told{false};
    std::atomic<bool> may_go_on{false};
    std::atomic<bool> is_back{false};
    std::string said;
    static void call(void* self, blazen_context* context) {
      auto* slow = static_cast<Slow*>(static_cast<Cancelled*>(self));
      slow->is_told = true;
      while (!slow->may_go_on) std::this_thread::yield();
      slow->said = std::to_string(blazen_context_invocation_id(context)) + "/" +
                   std::to_string(blazen_context_attempt(context));
      slow->is_back = true;
    }
  } step;
  std::atomic<bool> second{false};
  Engine engine(Way::threads_1);  // the first to go: its threads may be in the body still
  step.body = [&](Ctx& ctx) -> blazen_status {
    if (ctx.type() == "Next") {
      second = true;
      return BLAZEN_OK;
    }
    if (ctx.attempt() == 2) return ctx.stop();
    while (!step.is_told) std::this_thread::yield();
    return BLAZEN_OK;
  };
  const blazen_retry_options retry = retries(2);
  blazen_step_options options = BLAZEN_STEP_OPTIONS_INIT;
  options.timeout_ms = 20;
  options.retry = &retry;
  options.cancelled = Slow::call;
  RunHandle run = start(engine, with_step(step, options, {BLAZEN_START_EVENT, "Next"}));
  EXPECT_TRUE(engine.until(run, [&] { return step.is_told.load(); }));
  EXPECT_EQ(send_in(run, 0, "Next"), BLAZEN_OK);
  EXPECT_TRUE(engine.until(run, [&] { return second.load(); })) << "on the thread of the first body";
  step.may_go_on = true;
  EXPECT_TRUE(engine.until(run, [&] { return step.is_back.load(); }));
  EXPECT_EQ(step.said, "1/1");
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
}

// --------------------------------------------------------------------------------------- an invocation's end

TEST(AnInvocationThatIsFinished, IsCompletedAndReleased) {
  Engine engine(Way::pump);
  PendingStep step;
  RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  step.ctx().stop("7");
  Invocation mine(blazen_invocation_retain(step.handle()));
  step.forget();
  MUST(blazen_invocation_finish(mine.take(), nullptr, e));
  EXPECT_EQ(data_of(finish(engine, run).result), "7");
}

TEST(AnInvocationThatIsFinished, WithACauseHasFailed) {
  Engine engine(Way::pump);
  PendingStep step;
  RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  Invocation mine(blazen_invocation_retain(step.handle()));
  step.forget();
  Error cause;
  (void)blazen_error_host(7, BLAZEN_TEXT("gone"), nullptr, cause.out());
  MUST(blazen_invocation_finish(mine.take(), cause, e));
  EXPECT_EQ(finish(engine, run).error.cause().host_code(), 7);
}

TEST(AnInvocationThatIsFinished, IsReleasedWhereThatIsRefusedToo) {
  Engine engine(Way::pump);
  PendingStep step;
  RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  Invocation mine(blazen_invocation_retain(step.handle()));
  step.forget();
  const Value no_error = json("1");
  EXPECT_EQ(blazen_invocation_finish(mine.take(), reinterpret_cast<blazen_error*>(no_error.get()), nullptr),
            BLAZEN_ERROR_WRONG_HANDLE);
  EXPECT_TRUE(finish(engine, run).error.cause().says("released and never completed"));
}

// -------------------------------------------------------------------------------------------------- a stream

std::string take_some(blazen_stream* stream, size_t capacity, int64_t timeout_ms = 0) {
  std::vector<blazen_event*> items(capacity);
  std::vector<uint64_t> sequences(capacity);
  size_t count = 77;
  const blazen_status status =
      blazen_stream_take(stream, timeout_ms, items.data(), sequences.data(), capacity, &count, nullptr);
  if (status != BLAZEN_OK)
    return blazen_status_name(status) + std::string(count == 77 ? "" : ", count written");
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    const Event item(items[i]);
    text += std::to_string(sequences[i]) + ":" + type_of(item) + " ";
  }
  return text;
}

TEST(ItemsThatAreTakenTogether, AreThoseThatNextGivesOneByOne) {
  Engine engine(Way::pump);
  for (const uint64_t capacity : {0, 4}) {
    for (const size_t at_once : {1, 2, 63, 64, 65, 1000}) {
      RunHandle run = create(engine, publishing_spec(200).build());
      Wants wants;
      wants.capacity = capacity;
      wants.lifecycle = true;
      const Stream one = subscribe_with(run, wants);
      const Stream many = subscribe_with(run, wants);
      MUST(blazen_run_start(run, nullptr, e));
      finish(engine, run);
      std::string expected;
      for (const Item& item : take(one)) expected += std::to_string(item.sequence) + ":" + item.type + " ";
      std::string together;
      while (together.find(BLAZEN_STREAM_END) == std::string::npos) together += take_some(many, at_once);
      EXPECT_EQ(together, expected) << capacity << ", " << at_once;
      EXPECT_EQ(take_some(many, at_once), take_some(one, 5)) << "the end, once more, and alone";
    }
  }
}

TEST(ItemsThatAreTakenTogether, AreAtLeastOneOrATimeout) {
  Engine engine(Way::pump);
  PendingStep step;
  RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  const Stream stream = subscribe(run);
  EXPECT_EQ(take_some(stream, 4), "BLAZEN_ERROR_TIMEOUT");
  EXPECT_EQ(take_some(stream, 4, 20), "BLAZEN_ERROR_TIMEOUT");
  step.publish(1, 2);
  EXPECT_EQ(take_some(stream, 4, 1000), "1:P 2:P ");
  step.stop();
  EXPECT_EQ(take_some(stream, 4), "3:" BLAZEN_STREAM_END " ");
}

TEST(ItemsThatAreTakenTogether, LetARunGoOnThatTheyHeldBack) {
  Engine engine(Way::pump);
  Spec spec;
  spec.start([](Ctx& ctx) {
    ctx.publish("P");
    ctx.publish("P");
    ctx.emit("Next");
  });
  spec.step("next", {"Next"}, [](Ctx& ctx) { ctx.stop(); });
  RunHandle run = create(engine, spec.build());
  Wants wants;
  wants.hold = true;
  wants.capacity = 1;
  const Stream stream = subscribe_with(run, wants);
  MUST(blazen_run_start(run, nullptr, e));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_RUNNING);
  EXPECT_EQ(take_some(stream, 2), "1:P 2:P ");
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_COMPLETED);
}

TEST(ACallbackOfAStream, ThatIsTakenBackIsDroppedAndNeverCalled) {
  Engine engine(Way::pump);
  PendingStep step;
  RunHandle run = start(engine, step.spec().build());
  step.wait_until_there(engine, run);
  const Stream stream = subscribe(run);
  struct Ready {
    std::atomic<int> calls{0};
    std::atomic<int> drops{0};
    static void call(void* self) { static_cast<Ready*>(self)->calls.fetch_add(1); }
    static void drop(void* self) { static_cast<Ready*>(self)->drops.fetch_add(1); }
  } first, second;
  int32_t cancelled = -1;
  MUST(blazen_stream_cancel_ready(stream, &cancelled, e));
  EXPECT_EQ(cancelled, 0);
  MUST(blazen_stream_on_ready(stream, Ready::call, &first, Ready::drop, e));
  MUST(blazen_stream_cancel_ready(stream, &cancelled, e));
  EXPECT_EQ(cancelled, 1);
  EXPECT_EQ(first.drops, 1);
  MUST(blazen_stream_on_ready(stream, Ready::call, &second, Ready::drop, e));
  step.publish(1, 1);
  EXPECT_EQ(first.calls, 0);
  EXPECT_EQ(second.calls, 1);
  MUST(blazen_stream_cancel_ready(stream, nullptr, e));
  EXPECT_EQ(second.drops, 1);
  step.stop();
}

// --------------------------------------------------------------------------------------- polls and questions

TEST(APollThatSaysWhen, SaysWhatTheNextTimerIsAndNowWhereWorkIsLeft) {
  FakeClock clock;
  Engine engine(Way::pump, &clock);
  Spec spec;
  spec.timeout_ms = 0;
  spec.start([](Ctx& ctx) {
    ctx.emit("A");
    ctx.emit("A");
    ctx.emit_in(50, "End");
  });
  spec.step("a", {"A"}, [](Ctx&) {});
  spec.step("end", {"End"}, [](Ctx& ctx) { ctx.stop(); });
  RunHandle run = start(engine, spec.build());
  uint64_t steps = 0;
  int64_t delay_ms = -2;
  MUST(blazen_runtime_poll_next(engine.runtime(), 2, &steps, &delay_ms, e));
  EXPECT_EQ(steps, 2U);
  EXPECT_EQ(delay_ms, 0);
  MUST(blazen_runtime_poll_next(engine.runtime(), 2, &steps, &delay_ms, e));
  EXPECT_EQ(steps, 1U);
  EXPECT_EQ(delay_ms, 50);
  EXPECT_EQ(delay_ms, engine.next_timer());
  engine.pass(50);
  MUST(blazen_runtime_poll_next(engine.runtime(), 0, nullptr, &delay_ms, e));
  EXPECT_EQ(delay_ms, -1);
  EXPECT_EQ(blazen_run_state_now(run), BLAZEN_RUN_COMPLETED);
}

int32_t wants_input(blazen_run* run) {
  int32_t wants = -1;
  MUST(blazen_run_wants_input(run, &wants, e));
  return wants;
}

TEST(ARunThatAsks, WantsInputWhileAQuestionIsOpen) {
  Engine engine(Way::pump);
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    if (ctx.ask("how many?", "q").empty()) return BLAZEN_PENDING;
    return ctx.stop();
  });
  RunHandle run = start(engine, spec.build());
  EXPECT_EQ(wants_input(run), 0);
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(wants_input(run), 1);
  EXPECT_EQ(respond(run, "q"), BLAZEN_OK);
  EXPECT_EQ(wants_input(run), 0);
  EXPECT_EQ(finish(engine, run).state, BLAZEN_RUN_COMPLETED);
  EXPECT_EQ(wants_input(run), 0);
}

TEST(ARunThatAsks, WantsNoInputOfAQuestionThatAHandlerHas) {
  Engine engine(Way::pump);
  Spec spec;
  spec.start([](Ctx& ctx) -> blazen_status {
    if (ctx.ask("how many?", "q").empty()) return BLAZEN_PENDING;
    return ctx.stop();
  });
  blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
  options.input = [](void*, blazen_run*, const blazen_event*, blazen_value**,
                     blazen_error**) -> blazen_status { return BLAZEN_PENDING; };
  RunHandle run;
  MUST(blazen_run_create(engine.runtime(), spec.build(), &options, run.out(), e));
  MUST(blazen_run_start(run, nullptr, e));
  MUST(blazen_runtime_poll(engine.runtime(), 0, nullptr, e));
  EXPECT_EQ(open_ids(run), "q");
  EXPECT_EQ(wants_input(run), 0);
  EXPECT_EQ(respond(run, "q"), BLAZEN_OK);
}

}  // namespace
