// Calls in which a callback of the host comes, on the thread that calls: each in a world where that happens,
// for tests of what a callback may do and of what the header says of a call. The callback lets go of every
// handle that the host has.
#pragma once

#include <functional>

#include "capi/world.hpp"

namespace host {

// Every handle that the host has, and the callback that lets go of all of them.
struct Holder {
  using StepBody =
      std::function<blazen_status(Holder&, blazen_context*, const blazen_event*, blazen_error**)>;

  RuntimeHandle runtime;
  WorkflowHandle workflow;
  RunHandle run;
  StreamHandle stream;
  InvocationHandle invocation;
  SnapshotHandle snapshot;
  BatchHandle batch;
  EventHandle event;
  ValueHandle value;
  blazen_task* task = nullptr;
  StepBody begin;  // takes the StartEvent
  StepBody next;   // takes Next
  bool is_armed = false;
  int called = 0;
  bool was_dropped = false;  // and not called
  std::thread::id called_on;

  void let_go(bool is_drop = false) {
    if (!std::exchange(is_armed, false)) return;
    ++called;
    was_dropped = is_drop;
    called_on = std::this_thread::get_id();
    event.reset();
    value.reset();
    batch.reset();
    snapshot.reset();
    invocation.reset();
    stream.reset();
    run.reset();
    workflow.reset();
    runtime.reset();
  }

  blazen_context* context() const { return blazen_invocation_context(invocation); }
};

inline Holder& holder_of(void* user_data) { return *static_cast<Holder*>(user_data); }
inline void let_go(void* user_data) { holder_of(user_data).let_go(); }
inline void drop_and_let_go(void* user_data) { holder_of(user_data).let_go(true); }
inline void let_go_done(void* user_data, blazen_run*, blazen_run_state) { let_go(user_data); }

// ---- bodies ----

inline blazen_status stop(Holder&, blazen_context* context, const blazen_event*, blazen_error** error) {
  return blazen_context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
}
inline blazen_status rest(Holder&, blazen_context*, const blazen_event*, blazen_error**) { return BLAZEN_OK; }
inline blazen_status go(Holder& holder, blazen_context*, const blazen_event*, blazen_error**) {
  holder.let_go();
  return BLAZEN_OK;
}
inline blazen_status ask(Holder&, blazen_context* context, const blazen_event*, blazen_error** error) {
  blazen_question question = BLAZEN_QUESTION_INIT;
  question.request_id = "q";
  question.request_id_length = 1;
  ValueHandle answer;
  return blazen_context_ask(context, &question, answer.out(), error);
}
inline blazen_status defer(Holder& holder, blazen_context* context, const blazen_event*,
                           blazen_error** error) {
  const blazen_status status = blazen_context_defer(context, holder.invocation.out(), error);
  return status == BLAZEN_OK ? BLAZEN_PENDING : status;
}
inline blazen_status publish(blazen_context* context, blazen_error** error) {
  EventHandle item(make_event("Item"));
  return blazen_context_publish(context, item, error);
}

// ---- a world for each row ----

struct Wishes {
  blazen_mode mode = BLAZEN_MODE_PUMP;
  bool post_lets_go = false;
  bool logs = false;
  bool wakes = false;
};

inline blazen_status call_step(void* user_data, blazen_context* context, const blazen_event* event,
                               blazen_error** error) {
  Holder& holder = holder_of(user_data);
  const bool is_next = type_of(event) == "Next";
  return (is_next ? holder.next : holder.begin)(holder, context, event, error);
}

inline void make_world(Holder& holder, const Wishes& wishes = {}) {
  if (!holder.begin) holder.begin = rest;
  if (!holder.next) holder.next = stop;
  holder.workflow =
      WorkflowHandle(make_workflow(call_step, &holder, BLAZEN_UNHANDLED_FAIL, BLAZEN_IDLE_WAIT, "Next"));
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = wishes.mode;
  options.user_data = &holder;
  if (wishes.logs) {
    options.log = [](void* user_data, blazen_log_level, const char*, size_t) { let_go(user_data); };
    options.log_level = BLAZEN_LOG_DEBUG;
  }
  if (wishes.wakes) options.wake = let_go;
  options.post = [](void* user_data, blazen_task* task) -> blazen_status {
    holder_of(user_data).task = task;
    return BLAZEN_OK;
  };
  if (wishes.post_lets_go) {
    options.post = [](void* user_data, blazen_task* task) -> blazen_status {
      holder_of(user_data).task = task;
      let_go(user_data);
      return BLAZEN_OK;
    };
  }
  OK(blazen_runtime_create(&options, holder.runtime.out(), error));
  holder.run = RunHandle(make_run(holder.runtime, holder.workflow));
}

// Everything that can be run now.
inline void turn(Holder& holder) {
  if (blazen_task* task = std::exchange(holder.task, nullptr)) return blazen_task_run(task);
  OK(blazen_runtime_poll(holder.runtime, 0, nullptr, error));
}

inline void start(Holder& holder, const Wishes& wishes = {}) {
  make_world(holder, wishes);
  OK(blazen_run_start(holder.run, nullptr, error));
  turn(holder);
}

inline void on_done(Holder& holder, uint32_t until = BLAZEN_UNTIL_ENDED) {
  OK(blazen_run_on_state(holder.run, until, let_go_done, &holder, nullptr, error));
}

inline void start_deferred(Holder& holder, const Wishes& wishes = {}) {
  holder.begin = defer;
  start(holder, wishes);
  ASSERT_NE(holder.invocation.get(), nullptr);
}

inline void subscribe(Holder& holder, bool lifecycle = false) {
  blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
  options.lifecycle = lifecycle ? 1 : 0;
  OK(blazen_run_subscribe_with(holder.run, &options, holder.stream.out(), error));
}
inline void on_ready(Holder& holder) {
  OK(blazen_stream_on_ready(holder.stream, let_go, &holder, nullptr, error));
}
inline void on_dropped(Holder& holder) {  // a callback that is never called, and dropped
  OK(blazen_stream_on_ready(holder.stream, [](void*) {}, &holder, drop_and_let_go, error));
}

// A value whose end lets go.
inline ValueHandle make_last(Holder& holder) {
  static const char kData[] = "x";
  ValueHandle value;
  OK(blazen_value_adopt(BLAZEN_TAG_BYTES, kData, 1, nullptr, 0, &holder, drop_and_let_go, value.out(),
                        error));
  return value;
}
inline void set_last(Holder& holder) {
  ValueHandle last = make_last(holder);
  OK(blazen_context_set_value(holder.context(), BLAZEN_TEXT("k"), last, error));
}
// In a batch, what replaces it, and more.
inline void batch_over_last(Holder& holder) {
  OK(blazen_batch_create(holder.batch.out(), error));
  OK(blazen_batch_set(holder.batch, BLAZEN_TEXT("other"), nullptr, error));
  OK(blazen_batch_remove(holder.batch, BLAZEN_TEXT("k"), error));
  OK(blazen_batch_set(holder.batch, BLAZEN_TEXT("third"), nullptr, error));
}
inline void set_last_in_session(Holder& holder) {
  ValueHandle last = make_last(holder);
  OK(blazen_context_set_session(holder.context(), BLAZEN_TEXT("k"), last, error));
}

// ---- the table ----

struct Row {
  const char* function;
  void (*prepare)(Holder&);
  blazen_status (*call)(Holder&);
};

inline constexpr Wishes kPostLetsGo{BLAZEN_MODE_EXECUTOR, true, false, false};
inline constexpr Wishes kPosts{BLAZEN_MODE_EXECUTOR, false, false, false};
inline constexpr Wishes kLogs{BLAZEN_MODE_PUMP, false, true, false};
inline constexpr Wishes kWakes{BLAZEN_MODE_PUMP, false, false, true};

inline const Row kRows[] = {
    {"run_start_logs", [](Holder& h) { make_world(h, kLogs); },
     [](Holder& h) { return blazen_run_start(h.run, nullptr, nullptr); }},
    {"run_start_wakes", [](Holder& h) { make_world(h, kWakes); },
     [](Holder& h) { return blazen_run_start(h.run, nullptr, nullptr); }},
    {"run_start_posts", [](Holder& h) { make_world(h, kPostLetsGo); },
     [](Holder& h) { return blazen_run_start(h.run, nullptr, nullptr); }},
    {"run_send_event",
     [](Holder& h) {
       start(h, kPostLetsGo);
       h.event = EventHandle(make_event("Next"));
     },
     [](Holder& h) { return blazen_run_send_event(h.run, h.event, nullptr, nullptr); }},
    {"run_respond",
     [](Holder& h) {
       h.begin = ask;
       start(h, kPostLetsGo);
     },
     [](Holder& h) { return blazen_run_respond(h.run, BLAZEN_TEXT("q"), nullptr, nullptr); }},
    {"run_respond_early",
     [](Holder& h) {
       h.begin = ask;
       start(h, kPostLetsGo);
     },
     [](Holder& h) { return blazen_run_respond_early(h.run, BLAZEN_TEXT("q"), nullptr, nullptr); }},
    {"run_withdraw_question",
     [](Holder& h) {
       h.begin = ask;
       start(h, kPostLetsGo);
     },
     [](Holder& h) { return blazen_run_withdraw_question(h.run, BLAZEN_TEXT("q"), nullptr); }},
    {"run_fail_question",
     [](Holder& h) {
       h.begin = ask;
       start(h);
       on_done(h);
     },
     [](Holder& h) {
       ErrorHandle cause;
       (void)blazen_error_host(1, BLAZEN_TEXT("no"), nullptr, cause.out());
       return blazen_run_fail_question(h.run, BLAZEN_TEXT("q"), cause, nullptr);
     }},
    {"run_compare_and_set",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
     },
     [](Holder& h) {
       return blazen_run_compare_and_set(h.run, BLAZEN_TEXT("k"), 1, nullptr, nullptr, nullptr);
     }},
    {"run_apply",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
       batch_over_last(h);
     },
     [](Holder& h) { return blazen_run_apply(h.run, h.batch, nullptr); }},
    {"run_cancel_invocation",
     [](Holder& h) {
       start_deferred(h);
       on_done(h);
     },
     [](Holder& h) {
       const uint64_t id = blazen_context_invocation_id(h.context());
       return blazen_run_cancel_invocation(h.run, id, 0, nullptr);
     }},
    {"run_cancel_invocation_tells_the_body",
     [](Holder& h) {
       start_deferred(h);
       OK(blazen_context_on_cancel(h.context(), let_go, &h, nullptr, error));
     },
     [](Holder& h) {
       const uint64_t id = blazen_context_invocation_id(h.context());
       return blazen_run_cancel_invocation(h.run, id, 1, nullptr);
     }},
    {"run_pause",
     [](Holder& h) {
       start(h);
       on_done(h, BLAZEN_UNTIL_PAUSED);
     },
     [](Holder& h) { return blazen_run_pause(h.run, BLAZEN_PAUSE_NOW, nullptr); }},
    {"run_resume_in_place",
     [](Holder& h) {
       start(h, kPostLetsGo);
       EventHandle next(make_event("Next"));
       OK(blazen_run_pause(h.run, BLAZEN_PAUSE_NOW, error));
       OK(blazen_run_send_event(h.run, next, nullptr, error));
     },
     [](Holder& h) { return blazen_run_resume_in_place(h.run, nullptr); }},
    {"run_abort",
     [](Holder& h) {
       start(h);
       on_done(h);
     },
     [](Holder& h) { return blazen_run_abort(h.run, nullptr); }},
    {"run_close",
     [](Holder& h) {
       start(h);
       on_done(h);
     },
     [](Holder& h) { return blazen_run_close(h.run, nullptr); }},
    {"run_release",
     [](Holder& h) {
       start(h);
       on_done(h);
     },
     [](Holder& h) -> blazen_status {
       blazen_run_release(h.run.take());
       return BLAZEN_OK;
     }},
    {"run_wait",
     [](Holder& h) {
       h.begin = go;
       h.next = stop;
       make_world(h);
       OK(blazen_run_start(h.run, nullptr, error));
       on_done(h);
     },
     [](Holder& h) { return blazen_run_wait(h.run, BLAZEN_FOREVER, nullptr, nullptr); }},
    {"run_wait_until",
     [](Holder& h) {
       h.begin = go;
       make_world(h);
       OK(blazen_run_start(h.run, nullptr, error));
     },
     [](Holder& h) { return blazen_run_wait_until(h.run, BLAZEN_UNTIL_WAITING, 10000, nullptr, nullptr); }},
    {"run_on_done",
     [](Holder& h) {
       h.begin = stop;
       start(h);
     },
     [](Holder& h) { return blazen_run_on_done(h.run, let_go_done, &h, nullptr, nullptr); }},
    {"run_on_state", [](Holder& h) { start(h); },
     [](Holder& h) {
       return blazen_run_on_state(h.run, BLAZEN_UNTIL_WAITING, let_go_done, &h, nullptr, nullptr);
     }},
    {"run_snapshot",
     [](Holder& h) {
       start_deferred(h);
       blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
       options.serialize = [](void* object, blazen_value** kept, blazen_error** error) -> blazen_status {
         let_go(object);
         return blazen_value_json(BLAZEN_TEXT("1"), kept, error);
       };
       ValueHandle live;
       OK(blazen_value_live_with(&h, BLAZEN_TEXT("holder"), &options, live.out(), error));
       OK(blazen_context_set_session(h.context(), BLAZEN_TEXT("live"), live, error));
     },
     [](Holder& h) {
       SnapshotHandle taken;
       return blazen_run_snapshot(h.run, taken.out(), nullptr);
     }},
    {"run_snapshot_to", [](Holder& h) { start_deferred(h); },
     [](Holder& h) {
       const auto take = [](void* user_data, const void*, size_t, blazen_error**) -> blazen_status {
         let_go(user_data);
         return BLAZEN_OK;
       };
       return blazen_run_snapshot_to(h.run, take, &h, nullptr, nullptr);
     }},
    {"run_snapshot_to_drops", [](Holder& h) { start_deferred(h); },
     [](Holder& h) {
       const auto take = [](void*, const void*, size_t, blazen_error**) -> blazen_status {
         return BLAZEN_OK;
       };
       return blazen_run_snapshot_to(h.run, take, &h, drop_and_let_go, nullptr);
     }},
    {"run_resume",
     [](Holder& h) {
       start_deferred(h);
       blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
       options.serialize = [](void*, blazen_value** kept, blazen_error** error) -> blazen_status {
         return blazen_value_json(BLAZEN_TEXT("1"), kept, error);
       };
       ValueHandle live;
       OK(blazen_value_live_with(&h, BLAZEN_TEXT("holder"), &options, live.out(), error));
       OK(blazen_context_set_session(h.context(), BLAZEN_TEXT("live"), live, error));
       OK(blazen_run_snapshot(h.run, h.snapshot.out(), error));
     },
     [](Holder& h) {
       blazen_deserializer maker{};
       maker.label = "holder";
       maker.label_length = 6;
       maker.user_data = &h;
       maker.deserialize = [](void* user_data, const char*, size_t, blazen_value*, blazen_value** live,
                              blazen_error** error) -> blazen_status {
         let_go(user_data);
         return blazen_value_live(user_data, BLAZEN_TEXT("holder"), nullptr, live, error);
       };
       blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
       options.deserializers = &maker;
       options.deserializer_count = 1;
       RunHandle resumed;
       return blazen_run_resume(h.runtime, h.workflow, h.snapshot, &options, resumed.out(), nullptr);
     }},
    {"workflow_run",
     [](Holder& h) {
       h.begin = [](Holder& holder, blazen_context* context, const blazen_event* event,
                    blazen_error** error) {
         holder.let_go();
         return stop(holder, context, event, error);
       };
       make_world(h);
     },
     [](Holder& h) {
       ValueHandle result;
       return blazen_workflow_run(h.workflow, h.runtime, nullptr, result.out(), nullptr);
     }},
    {"runtime_poll",
     [](Holder& h) {
       h.begin = go;
       make_world(h);
       OK(blazen_run_start(h.run, nullptr, error));
     },
     [](Holder& h) { return blazen_runtime_poll(h.runtime, 0, nullptr, nullptr); }},
    {"runtime_poll_of_an_end",
     [](Holder& h) {
       h.begin = stop;
       make_world(h);
       on_done(h);
       OK(blazen_run_start(h.run, nullptr, error));
     },
     [](Holder& h) { return blazen_runtime_poll(h.runtime, 0, nullptr, nullptr); }},
    {"runtime_close",
     [](Holder& h) {
       start(h);
       on_done(h);
     },
     [](Holder& h) { return blazen_runtime_close(h.runtime, nullptr); }},
    {"runtime_begin_close",
     [](Holder& h) {
       start(h);
       on_done(h);
     },
     [](Holder& h) {
       const auto closed = [](void*) {};
       return blazen_runtime_begin_close(h.runtime, closed, nullptr, nullptr, nullptr);
     }},
    {"runtime_begin_close_closed", [](Holder& h) { start(h); },
     [](Holder& h) { return blazen_runtime_begin_close(h.runtime, let_go, &h, nullptr, nullptr); }},
    {"runtime_poll_next",
     [](Holder& h) {
       h.begin = go;
       make_world(h);
       OK(blazen_run_start(h.run, nullptr, error));
     },
     [](Holder& h) {
       int64_t delay_ms = 0;
       return blazen_runtime_poll_next(h.runtime, 0, nullptr, &delay_ms, nullptr);
     }},
    {"task_run",
     [](Holder& h) {
       h.begin = go;
       make_world(h, kPosts);
       OK(blazen_run_start(h.run, nullptr, error));
     },
     [](Holder& h) -> blazen_status {
       blazen_task_run(std::exchange(h.task, nullptr));
       return BLAZEN_OK;
     }},
    {"task_cancel",
     [](Holder& h) {
       make_world(h, kPosts);
       on_done(h);
       OK(blazen_run_start(h.run, nullptr, error));
     },
     [](Holder& h) -> blazen_status {
       blazen_task_cancel(std::exchange(h.task, nullptr));
       return BLAZEN_OK;
     }},
    {"stream_next_helps",
     [](Holder& h) {
       h.begin = [](Holder& holder, blazen_context* context, const blazen_event*, blazen_error** error) {
         const blazen_status status = publish(context, error);
         holder.let_go();
         return status;
       };
       make_world(h);
       subscribe(h);
       OK(blazen_run_start(h.run, nullptr, error));
     },
     [](Holder& h) {
       EventHandle item;
       return blazen_stream_next(h.stream, BLAZEN_FOREVER, item.out(), nullptr, nullptr);
     }},
    {"stream_next_lets_the_run_go_on",
     [](Holder& h) {
       h.begin = [](Holder&, blazen_context* context, const blazen_event*, blazen_error** error) {
         const blazen_status status = publish(context, error);
         return status != BLAZEN_OK ? status
                                    : blazen_context_emit(context, BLAZEN_TEXT("Next"), nullptr, error);
       };
       make_world(h, kPostLetsGo);
       blazen_stream_options options = BLAZEN_STREAM_OPTIONS_INIT;
       options.overflow = BLAZEN_OVERFLOW_HOLD;
       options.capacity = 1;
       OK(blazen_run_subscribe_with(h.run, &options, h.stream.out(), error));
       OK(blazen_run_start(h.run, nullptr, error));
       turn(h);
     },
     [](Holder& h) {
       EventHandle item;
       return blazen_stream_next(h.stream, 0, item.out(), nullptr, nullptr);
     }},
    {"stream_take_helps",
     [](Holder& h) {
       h.begin = [](Holder& holder, blazen_context* context, const blazen_event*, blazen_error** error) {
         const blazen_status status = publish(context, error);
         holder.let_go();
         return status;
       };
       make_world(h);
       subscribe(h);
       OK(blazen_run_start(h.run, nullptr, error));
     },
     [](Holder& h) {
       blazen_event* items[4];
       size_t count = 0;
       const blazen_status status =
           blazen_stream_take(h.stream, BLAZEN_FOREVER, items, nullptr, 4, &count, nullptr);
       for (size_t i = 0; i < count; ++i) blazen_event_release(items[i]);
       return status;
     }},
    {"stream_cancel_ready",
     [](Holder& h) {
       start(h);
       subscribe(h);
       on_dropped(h);
     },
     [](Holder& h) { return blazen_stream_cancel_ready(h.stream, nullptr, nullptr); }},
    {"stream_on_ready",
     [](Holder& h) {
       h.begin = stop;
       start(h);
       subscribe(h);
     },
     [](Holder& h) { return blazen_stream_on_ready(h.stream, let_go, &h, nullptr, nullptr); }},
    {"stream_close",
     [](Holder& h) {
       start(h);
       subscribe(h);
       on_ready(h);
     },
     [](Holder& h) { return blazen_stream_close(h.stream, nullptr); }},
    {"stream_release",
     [](Holder& h) {
       start(h);
       subscribe(h);
       on_dropped(h);
     },
     [](Holder& h) -> blazen_status {
       blazen_stream_release(h.stream.take());
       return BLAZEN_OK;
     }},
    {"invocation_complete",
     [](Holder& h) {
       start_deferred(h);
       on_done(h, BLAZEN_UNTIL_WAITING);
     },
     [](Holder& h) { return blazen_invocation_complete(h.invocation, nullptr); }},
    {"invocation_complete_posts",
     [](Holder& h) {
       start_deferred(h, kPostLetsGo);
       OK(blazen_context_emit(h.context(), BLAZEN_TEXT("Next"), nullptr, error));
     },
     [](Holder& h) { return blazen_invocation_complete(h.invocation, nullptr); }},
    {"invocation_fail",
     [](Holder& h) {
       start_deferred(h);
       on_done(h);
     },
     [](Holder& h) {
       ErrorHandle cause;
       (void)blazen_error_host(1, BLAZEN_TEXT("no"), nullptr, cause.out());
       return blazen_invocation_fail(h.invocation, cause, nullptr);
     }},
    {"invocation_finish",
     [](Holder& h) {
       start_deferred(h);
       on_done(h, BLAZEN_UNTIL_WAITING);
     },
     [](Holder& h) { return blazen_invocation_finish(h.invocation.take(), nullptr, nullptr); }},
    {"invocation_release",
     [](Holder& h) {
       start_deferred(h);
       on_done(h);
     },
     [](Holder& h) -> blazen_status {
       blazen_invocation_release(h.invocation.take());
       return BLAZEN_OK;
     }},
    {"context_publish",
     [](Holder& h) {
       start_deferred(h);
       subscribe(h);
       on_ready(h);
     },
     [](Holder& h) { return publish(h.context(), nullptr); }},
    {"context_collect",
     [](Holder& h) {  // the body is called again, and does something else in the same place
       h.begin = [](Holder&, blazen_context* context, const blazen_event*, blazen_error** error) {
         const blazen_status status = publish(context, error);
         if (status != BLAZEN_OK) return status;
         blazen_question question = BLAZEN_QUESTION_INIT;
         question.request_id = "q";
         question.request_id_length = 1;
         blazen_value* answer = nullptr;
         return blazen_context_ask(context, &question, &answer, error);
       };
       start(h);
       h.begin = defer;
       OK(blazen_run_respond(h.run, BLAZEN_TEXT("q"), nullptr, error));
       turn(h);
       subscribe(h);
       on_ready(h);
     },
     [](Holder& h) {
       return blazen_context_collect(h.context(), BLAZEN_TEXT("k"), nullptr, nullptr, nullptr, 0, nullptr);
     }},
    {"context_progress",
     [](Holder& h) {
       start_deferred(h);
       subscribe(h, true);
       on_ready(h);
     },
     [](Holder& h) { return blazen_context_progress(h.context(), BLAZEN_TEXT("p"), 1, 2, nullptr); }},
    {"context_send_event",
     [](Holder& h) {
       start_deferred(h, kPostLetsGo);
       h.event = EventHandle(make_event("Next"));
     },
     [](Holder& h) { return blazen_context_send_event(h.context(), h.event, nullptr, nullptr); }},
    {"context_ask",
     [](Holder& h) {
       h.begin = defer;
       make_world(h);
       blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
       options.user_data = &h;
       options.input = [](void* user_data, blazen_run*, const blazen_event*, blazen_value**,
                          blazen_error**) -> blazen_status {
         let_go(user_data);
         return BLAZEN_PENDING;
       };
       OK(blazen_run_create(h.runtime, h.workflow, &options, h.run.out(), error));
       OK(blazen_run_start(h.run, nullptr, error));
       turn(h);
     },
     [](Holder& h) {
       blazen_question question = BLAZEN_QUESTION_INIT;
       question.answered = [](void*, blazen_context*, const char*, size_t, blazen_value*) {};
       ValueHandle answer;
       const blazen_status status = blazen_context_ask(h.context(), &question, answer.out(), nullptr);
       return status == BLAZEN_PENDING ? BLAZEN_OK : status;
     }},
    {"context_on_cancel",
     [](Holder& h) {
       start_deferred(h);
       OK(blazen_run_abort(h.run, error));
     },
     [](Holder& h) { return blazen_context_on_cancel(h.context(), let_go, &h, nullptr, nullptr); }},
    {"context_set_value",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
     },
     [](Holder& h) { return blazen_context_set_value(h.context(), BLAZEN_TEXT("k"), nullptr, nullptr); }},
    {"context_set_json",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
     },
     [](Holder& h) {
       return blazen_context_set_json(h.context(), BLAZEN_TEXT("k"), BLAZEN_TEXT("1"), nullptr);
     }},
    {"context_set_bytes",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
     },
     [](Holder& h) { return blazen_context_set_bytes(h.context(), BLAZEN_TEXT("k"), "b", 1, nullptr); }},
    {"context_remove_value",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
     },
     [](Holder& h) { return blazen_context_remove_value(h.context(), BLAZEN_TEXT("k"), nullptr, nullptr); }},
    {"context_compare_and_set",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
     },
     [](Holder& h) {
       return blazen_context_compare_and_set(h.context(), BLAZEN_TEXT("k"), 1, nullptr, nullptr, nullptr);
     }},
    {"context_clear_values",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
     },
     [](Holder& h) { return blazen_context_clear_values(h.context(), nullptr); }},
    {"context_apply",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
       batch_over_last(h);
     },
     [](Holder& h) { return blazen_context_apply(h.context(), h.batch, nullptr); }},
    {"context_read",
     [](Holder& h) {
       start_deferred(h);
       set_last(h);
       blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
       OK(blazen_context_read(h.context(), BLAZEN_TEXT("k"), &view, error));
       OK(blazen_context_remove_value(h.context(), BLAZEN_TEXT("k"), nullptr, error));
     },
     [](Holder& h) {
       blazen_value_view view = BLAZEN_VALUE_VIEW_INIT;
       return blazen_context_read(h.context(), BLAZEN_TEXT("k"), &view, nullptr);
     }},
    {"context_set_session",
     [](Holder& h) {
       start_deferred(h);
       set_last_in_session(h);
     },
     [](Holder& h) { return blazen_context_set_session(h.context(), BLAZEN_TEXT("k"), nullptr, nullptr); }},
    {"context_remove_session",
     [](Holder& h) {
       start_deferred(h);
       set_last_in_session(h);
     },
     [](Holder& h) {
       return blazen_context_remove_session(h.context(), BLAZEN_TEXT("k"), nullptr, nullptr);
     }},
};

}  // namespace host
