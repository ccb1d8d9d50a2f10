// Goal: the law of snapshots. For every tick of every workflow below, a snapshot taken there and resumed
// elsewhere ends as the uninterrupted run does: the same result, the same final snapshot byte for byte, the
// same stream, the same invocation ids, and nothing that was complete runs again.
//
// A tick here is: each call that a body makes of its context, each step that a poll runs, each completion of
// a deferred invocation, each answer, each moment at which a timer is due, a pause and its end. Time is the
// test's own, and passes only when nothing else can happen; it stands still between the lives of a run. The
// uninterrupted run is snapshotted at all of them while it runs (which must not change it), and then each
// snapshot is resumed in a runtime and a workflow of its own, through its bytes. Bodies are idempotent as the
// contract asks: they write a key only where it is not there yet.
#include <map>
#include <set>

#include "support/blazen_test.hpp"

namespace bt {
namespace {

// --------------------------------------------------------------------------------------- a process-like life

// One life of a run: a process that hosts some of its steps.
class Life;

// A workflow and what the host does beside it.
struct Shape {
  std::string name;
  std::function<Spec(Life&)> spec = nullptr;
  std::string input = "null";
  // What a host does with a deferred invocation, before it completes it.
  std::function<void(Ctx&)> finish = nullptr;
  // Idle runs get the event with this number, from 0, from outside; null: no such events.
  std::function<Event(size_t)> outside = nullptr;
  size_t ticks_min = 5;
  bool timed = false;    // time passes when nothing else can happen
  bool forgets = false;  // deferred invocations are never completed
  std::string ending = "";
  std::function<PipelineSpec(Life&)> pipeline = nullptr;  // in the place of spec
};
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }

using Key = std::pair<std::string, uint64_t>;  // step and event id

// The run has the same id in each test, so that the runs inside it have the same ids too.
constexpr std::string_view kRunId = "00000000-0000-4000-8000-000000000001";

Key key_of(const Ctx& ctx) {
  size_t length = 0;
  const char* id = blazen_context_run_id(ctx.raw, &length);
  const std::string run = text_of(id, length);
  return {run == kRunId ? ctx.step() : run + "/" + ctx.step(), ctx.event_id()};
}

// What lifecycle so far, over all lives of a run.
struct Trace {
  std::map<Key, uint64_t> invocations;  // started, with their ids
  std::set<Key> done;
  std::vector<Item> items;
  size_t posted = 0;  // events from outside
  int64_t now_ms = 1'700'000'000'000;
  std::vector<std::string> faults;

  void started(const Ctx& ctx) {
    const Key key = key_of(ctx);
    if (done.contains(key))
      faults.push_back("ran again: " + key.first + " on event " + std::to_string(key.second));
    const auto [known, is_new] = invocations.emplace(key, ctx.id());
    if (!is_new && known->second != ctx.id()) faults.push_back("another invocation id: " + key.first);
  }
};

struct Tick {
  std::string bytes;
  Trace trace;
  int site;
};

class Life {
 public:
  // site: which of the hosts of a run that moves between them.
  Life(const Shape& shape, Trace& trace, int site) : shape_(shape), trace_(trace), site_(site) {
    clock_.now_ms = trace.now_ms;
    engine_.set_pool("pool", 2);
    workflow_ = shape.pipeline ? shape.pipeline(*this).build() : shape.spec(*this).build();
    tick_ = [this] { note_tick(); };
  }
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;
  ~Life() {
    if (run_ != nullptr) MUST(blazen_run_close(run_, e));
  }

  int site() const { return site_; }
  blazen_run* run() const { return run_; }

  void create() {
    const Value metadata = json("{\"law\":true}");
    blazen_run_options options = BLAZEN_RUN_OPTIONS_INIT;
    options.metadata = metadata;
    options.run_id = kRunId.data();
    options.run_id_length = kRunId.size();
    MUST(blazen_run_create(engine_.runtime(), workflow_, &options, run_.out(), e));
    stream_ = subscribe(run_);
  }
  void start() { MUST(blazen_run_start(run_, json(shape_.input), e)); }
  void resume(std::string_view bytes, bool keeps_paused = false) {
    run_ = keeps_paused ? resume_paused(engine_, workflow_, bytes) : bt::resume(engine_, workflow_, bytes);
    stream_ = subscribe(run_);
  }
  void start_resumed() {
    const bool created =
        info_of(parse(snapshot_bytes(run_))).find("\"state\":\"created\"") != std::string::npos;
    if (created) return start();
    MUST(blazen_run_start(run_, nullptr, e));
  }

  // A body of the shape, with its tracks.
  Body track(Body body) {
    return [this, body = std::move(body)](Ctx& ctx) -> blazen_status {
      trace_.started(ctx);
      const Key key = key_of(ctx);
      if (ticks_ != nullptr) after_each_call = &tick_;
      const blazen_status status = body.run(ctx);
      after_each_call = nullptr;
      if (status == BLAZEN_OK) {
        completing_.push_back(key);
        ++completions_;
      }
      return status;
    };
  }
  blazen_status pend(Ctx& ctx) {
    pending_.push_back(ctx.defer());
    return BLAZEN_PENDING;
  }

  // Until it has ended or must go on elsewhere, or until so many invocations have completed.
  blazen_run_state drive(uint64_t completions_max = UINT64_MAX) {
    note_tick();
    while (completions_ < completions_max) {
      uint64_t steps = 0;
      MUST(blazen_runtime_poll(engine_.runtime(), 1, &steps, e));
      settle_completions();
      note_tick();
      if (steps != 0) continue;
      const blazen_run_state state = blazen_run_state_now(run_);
      if (is_settled(state)) break;
      if (!pending_.empty() && !shape_.forgets) {
        complete_one();
      } else if (state == BLAZEN_RUN_PAUSED) {
        MUST(blazen_run_resume_in_place(run_, e));
        note_tick();
      } else if (state == BLAZEN_RUN_ASKING) {
        answer_one();
      } else if (state == BLAZEN_RUN_RUNNING && shape_.timed && pass_time()) {
        continue;
      } else if (state == BLAZEN_RUN_WAITING && shape_.outside) {
        MUST(blazen_run_send_event(run_, shape_.outside(trace_.posted), nullptr, e));
        ++trace_.posted;
        note_tick();
      } else {
        ADD_FAILURE() << "the run hangs in state " << state;
        break;
      }
    }
    collect_items();
    return blazen_run_state_now(run_);
  }

  void collect_ticks(std::vector<Tick>& ticks) { ticks_ = &ticks; }

 private:
  void complete_one() {
    const Invocation invocation = std::move(pending_.front());
    pending_.pop_front();
    Ctx ctx(invocation);
    const Key key = key_of(ctx);
    if (ticks_ != nullptr) after_each_call = &tick_;
    if (shape_.finish) shape_.finish(ctx);
    after_each_call = nullptr;
    MUST(blazen_invocation_complete(invocation, e));
    completing_.push_back(key);
    ++completions_;
    settle_completions();
    note_tick();
  }
  // The last question that is open gets its own id for an answer.
  void answer_one() {
    Value list;
    MUST(blazen_run_questions(run_, list.out(), e));
    const std::string questions = data_of(list);
    const std::string before = "\"request_id\":\"";
    const size_t at = questions.rfind(before) + before.size();
    const std::string id = questions.substr(at, questions.find('"', at) - at);
    MUST(blazen_run_respond(run_, id.data(), id.size(), json("\"re " + id + "\""), e));
    note_tick();
  }
  // To the next timer. False: there is none in the future.
  bool pass_time() {
    const int64_t delay_ms = engine_.next_timer();
    if (delay_ms <= 0) return false;
    clock_.now_ms += delay_ms;
    trace_.now_ms = clock_.now_ms;
    // A run whose time is up ends before anything of it starts again: it then says "queued", not "in flight".
    if (!shape_.forgets) note_tick();
    return true;
  }
  void settle_completions() {
    trace_.done.insert(completing_.begin(), completing_.end());
    completing_.clear();
  }
  // The end comes again for whoever asks again: one is kept.
  void collect_items() {
    for (Item& item : take(stream_)) {
      if (!trace_.items.empty() && trace_.items.back().type == BLAZEN_STREAM_END) trace_.items.pop_back();
      trace_.items.push_back(std::move(item));
    }
  }
  void note_tick() {
    if (ticks_ == nullptr) return;
    collect_items();
    ticks_->push_back({snapshot_bytes(run_), trace_, site_});
  }

  const Shape& shape_;
  Trace& trace_;
  const int site_;
  std::deque<Invocation> pending_;
  std::vector<Key> completing_;
  uint64_t completions_ = 0;
  std::vector<Tick>* ticks_ = nullptr;
  std::function<void()> tick_;
  FakeClock clock_;
  Engine engine_{Way::pump, &clock_};
  Workflow workflow_;
  RunHandle run_;
  Stream stream_;
};

struct Ending {
  std::string outcome;
  std::string bytes;
  Trace trace;
};

// From a life on, over as many sites as it takes. ticks may be null.
Ending to_the_end(const Shape& shape, Trace trace, int site, const std::function<void(Life&)>& begin,
                  std::vector<Tick>* ticks) {
  std::function<void(Life&)> next = begin;
  for (int lives = 0; lives < 100; ++lives) {
    Life life(shape, trace, site);
    next(life);
    if (ticks != nullptr) life.collect_ticks(*ticks);
    const blazen_run_state state = life.drive();
    const std::string bytes = snapshot_bytes(life.run());
    if (state != BLAZEN_RUN_ELSEWHERE) return {outcome(life.run()).text(), bytes, trace};
    site = 1 - site;
    next = [bytes](Life& fresh) {
      fresh.resume(bytes);
      fresh.start_resumed();
    };
  }
  ADD_FAILURE() << "the run moves from site to site for ever";
  return {};
}

Ending uninterrupted(const Shape& shape, std::vector<Tick>* ticks) {
  return to_the_end(
      shape, {}, 0,
      [&](Life& life) {
        life.create();
        life.start();
      },
      ticks);
}

Ending resumed(const Shape& shape, const Tick& tick) {
  return to_the_end(
      shape, tick.trace, tick.site,
      [&](Life& life) {
        life.resume(tick.bytes);
        life.start_resumed();
      },
      nullptr);
}

// ------------------------------------------------------------------------------------------------ the shapes

// Writes what it got, publishes, and hands on.
Shape linear() {
  return {"Linear",
          [](Life& life) {
            Spec spec("linear");
            spec.start(life.track([](Ctx& ctx) {
              ctx.set_once("a", ctx.input());
              ctx.publish("Progress", "1");
              ctx.emit("B", "1.0");
            }));
            spec.step("b", {"B"}, life.track([](Ctx& ctx) {
              ctx.set_once("b", ctx.input());
              ctx.emit("C", "1e400");
            }));
            return spec.step("c", {"C"}, life.track([](Ctx& ctx) {
              ctx.stop("[" + ctx.text("a") + "," + ctx.text("b") + "," + ctx.input() + "]");
            }));
          },
          "{\"x\":\"\\u0000\"}"};
}

Shape fan_out_and_join() {
  return {"FanOutAndJoin", [](Life& life) {
            Spec spec("fan");
            spec.start(life.track([](Ctx& ctx) {
              for (int i = 0; i < 6; ++i) ctx.emit("Work", std::to_string(i));
            }));
            spec.step("work", {"Work"}, life.track([](Ctx& ctx) {
              ctx.set_once("part." + ctx.input(), "\"done " + ctx.input() + "\"");
              ctx.emit("Done", ctx.input());
            }));
            return spec.step("join", {"Done"}, life.track([](Ctx& ctx) {
              ctx.set_once("joined." + ctx.input(), "true");
              if (ctx.count("joined.") == 6) ctx.stop("\"" + ctx.keys() + "\"");
            }));
          }};
}

// Two steps share a pool of two permits: bodies that complete at once, later, at the second attempt, and after an answer.
Shape pooled() {
  return {.name = "Pooled",
          .spec =
              [](Life& life) {
                Spec spec("pooled");
                spec.start(life.track([](Ctx& ctx) {
                  for (int i = 0; i < 5; ++i) {
                    ctx.emit("Work", std::to_string(i));
                    ctx.emit("Later", std::to_string(i));
                  }
                }));
                spec.step("work", {"Work"}, life.track([](Ctx& ctx) -> blazen_status {
                  if (ctx.input() == "1" && ctx.attempt() == 1) return ctx.fail(1, "once more");
                  if (ctx.input() == "2" && ctx.ask("?", "q").empty()) return BLAZEN_PENDING;
                  ctx.set_once("work." + ctx.input(), "true");
                  return ctx.emit("Done");
                }));
                spec.retry(retries(2, 1000)).uses_pool("pool");
                spec.step("later", {"Later"}, life.track([&life](Ctx& ctx) {
                  ctx.publish("Begun", ctx.input());
                  return life.pend(ctx);
                }));
                spec.steps.back().concurrency_max = 3;
                spec.uses_pool("pool");
                return spec.step("join", {"Done"}, life.track([](Ctx& ctx) {
                  ctx.set_once("done." + std::to_string(ctx.event_id()), "true");
                  if (ctx.count("done.") == 10) ctx.stop("\"" + ctx.keys("work.") + "\"");
                }));
              },
          .finish = [](Ctx& ctx) { ctx.emit("Done"); },
          .ticks_min = 20,
          .timed = true};
}

Shape several_acceptors() {
  return {"SeveralAcceptors", [](Life& life) {
            Spec spec("acceptors");
            const auto take_one = life.track([](Ctx& ctx) {
              ctx.publish("Seen", "\"" + ctx.step() + "\"");
              ctx.set_once("seen." + ctx.step(), ctx.input());
              ctx.emit("Done");
            });
            spec.start(life.track([](Ctx& ctx) {
              ctx.emit("A", "1");
              ctx.emit("B", "2");
            }));
            spec.step("z", {"A"}, take_one).step("y", {"A", "B"}, take_one).step("x", {"B", "A"}, take_one);
            return spec.step("join", {"Done"}, life.track([](Ctx& ctx) {
              ctx.set_once("done." + std::to_string(ctx.event_id()), "true");
              if (ctx.count("done.") == 5) ctx.stop("\"" + ctx.keys("seen.") + "\"");
            }));
          }};
}

Shape targeted() {
  return {"Targeted", [](Life& life) {
            Spec spec("targeted");
            const auto note = life.track([](Ctx& ctx) {
              ctx.publish("Ran", "\"" + ctx.step() + ctx.input() + "\"");
              if (ctx.input() == "4") ctx.stop("\"" + ctx.step() + "\"");
            });
            spec.start(life.track([](Ctx& ctx) {
              ctx.send_to("b", "A", "1");
              ctx.emit_to("c", "A", "3");
              ctx.send("A", "2");
              ctx.emit_to("b", "A", "4");
            }));
            return spec.step("a", {"A"}, note).step("b", {"A"}, note).step("c", {"A"}, note);
          }};
}

Shape limited(uint32_t concurrency_max) {
  return {"MaxConcurrency" + std::to_string(concurrency_max),
          [concurrency_max](Life& life) {
            Spec spec("limited");
            spec.start(life.track([](Ctx& ctx) {
              for (int i = 0; i < 5; ++i) ctx.emit("Work", std::to_string(i));
              ctx.emit("Other");
            }));
            spec.step("work", {"Work"}, life.track([&life](Ctx& ctx) {
              ctx.publish("Started", ctx.input());
              return life.pend(ctx);
            }),
                      concurrency_max);
            spec.step("other", {"Other"}, life.track([](Ctx& ctx) { ctx.set_once("other", "true"); }));
            return spec.step("join", {"Done"}, life.track([](Ctx& ctx) {
              ctx.set_once("done." + ctx.input(), "true");
              if (ctx.count("done.") == 5) ctx.stop("\"" + ctx.keys() + "\"");
            }),
                             1);
          },
          "null",
          [](Ctx& ctx) {
            ctx.publish("Finished", ctx.input());
            ctx.emit("Done", ctx.input());
          }};
}

Shape sends_mid_step() {
  return {"SendsAndPublishesMidStep", [](Life& life) {
            Spec spec("sends");
            spec.start(life.track([](Ctx& ctx) {
              ctx.emit("Part", "\"emitted\"");
              for (int i = 0; i < 3; ++i) {
                ctx.send("Part", std::to_string(i));
                ctx.publish("Sent", std::to_string(i));
                ctx.send(event("Part", json("\"same\""), "c-1"));
              }
              ctx.publish("Last");
            }));
            return spec
                .step("part", {"Part"}, life.track([](Ctx& ctx) {
                  ctx.publish("Got", ctx.input());
                  ctx.send("Echo", ctx.input());
                  ctx.set_once("part." + std::to_string(ctx.event_id()), ctx.input());
                }))
                .step("echo", {"Echo"}, life.track([](Ctx& ctx) {
                  ctx.set_once("echo." + std::to_string(ctx.event_id()), ctx.input());
                  if (ctx.count("echo.") == 7) ctx.stop("\"" + ctx.keys() + "\"");
                }));
          }};
}

Shape deferred() {
  return {"SeveralDeferredInFlight",
          [](Life& life) {
            Spec spec("deferred");
            spec.start(life.track([&life](Ctx& ctx) {
              ctx.send("Work", "1");
              ctx.send("Work", "2");
              ctx.set_once("before", "true");
              return life.pend(ctx);
            }));
            spec.step("work", {"Work"}, life.track([&life](Ctx& ctx) {
              ctx.publish("Working", ctx.input());
              return life.pend(ctx);
            }));
            return spec.step("join", {"Done"}, life.track([](Ctx& ctx) {
              ctx.set_once("done." + std::to_string(ctx.event_id()), ctx.input());
              if (ctx.count("done.") == 3) ctx.stop(ctx.input());
            }));
          },
          "\"in\"",
          [](Ctx& ctx) {
            ctx.set_once("finished." + std::to_string(ctx.id()), ctx.input());
            ctx.publish("Finishing", ctx.input());
            ctx.send("Done", ctx.input());
          }};
}

Shape unhandled_to_stream() {
  return {"UnhandledToStream", [](Life& life) {
            Spec spec("unhandled");
            spec.unhandled = BLAZEN_UNHANDLED_STREAM;
            spec.start(life.track([](Ctx& ctx) {
              ctx.send("Nobody", "1");
              ctx.publish("Published", "2");
              ctx.emit("Nobody", "3");
              ctx.emit("A");
              ctx.emit("Nobody", "4");
            }));
            return spec.step("a", {"A"}, life.track([](Ctx& ctx) {
              ctx.emit("Nobody", "5");
              ctx.stop("6");
            }));
          }};
}

// Site 0 has the odd steps, site 1 the even ones: the run goes from one to the other and back.
Shape elsewhere() {
  return {"ElsewhereHandover", [](Life& life) {
            Spec spec("elsewhere");
            const auto add = [&](int site, const std::string& name, std::vector<std::string> accepts,
                                 Body body) {
              if (life.site() == site) {
                spec.step(name, std::move(accepts), life.track(std::move(body)));
              } else {
                spec.elsewhere(name, std::move(accepts));
              }
            };
            add(0, "start", {BLAZEN_START_EVENT}, [](Ctx& ctx) {
              ctx.send("Far", "0");
              for (int i = 1; i < 3; ++i) ctx.emit("Far", std::to_string(i));
              ctx.emit("Near");
            });
            add(0, "near", {"Near"}, [](Ctx& ctx) { ctx.set_once("near", "true"); });
            add(1, "far", {"Far"}, [](Ctx& ctx) {
              ctx.publish("Far", ctx.input());
              ctx.set_once("far." + ctx.input(), native("n" + ctx.input(), "other/language"));
              ctx.emit("Back", ctx.input());
            });
            add(0, "back", {"Back"}, [](Ctx& ctx) {
              ctx.set_once("back." + ctx.input(), "true");
              if (ctx.count("back.") == 3) ctx.emit("End");
            });
            add(1, "end", {"End"}, [](Ctx& ctx) { ctx.stop("\"" + ctx.keys() + "\""); });
            return spec;
          }};
}

Shape payloads() {
  return {"NativeAndBytesPayloads", [](Life& life) {
            Spec spec("payloads");
            spec.start(life.track([](Ctx& ctx) {
              ctx.emit("A", bytes(std::string("\0\xff\x80", 3)));
              ctx.emit("A", native("\x80\x04.", "python/pickle"));
              ctx.emit("A", bytes(std::string(5000, 'x')));
              ctx.emit("A", native("", ""));
              ctx.emit("A", " {\"b\" : 1.0, \"a\":[1e400,12345678901234567890123]} ");
              if (!ctx.has_session("cfg")) ctx.set_session("cfg", native("cfg", "java/serial"));
              ctx.set_once("bytes", bytes(""));
            }));
            return spec
                .step("a", {"A"}, life.track([](Ctx& ctx) {
                  Value same(blazen_value_retain(blazen_event_value(ctx.trigger())));
                  ctx.set_once("got." + std::to_string(ctx.event_id()), same);
                  ctx.send(event("B", same.get()));
                  ctx.publish(event("P", same.get()));
                }))
                .step("b", {"B"}, life.track([](Ctx& ctx) {
                  ctx.set_once("b." + std::to_string(ctx.event_id()),
                               Value(blazen_value_retain(blazen_event_value(ctx.trigger()))));
                  if (ctx.count("b.") == 5) ctx.stop(ctx.session("cfg"));
                }),
                      1);
          }};
}

Shape failing() {
  return {"FailingRun", [](Life& life) {
            Spec spec("failing");
            spec.start(life.track([](Ctx& ctx) {
              for (int i = 0; i < 4; ++i) ctx.emit("A", std::to_string(i));
            }));
            return spec.step("a", {"A"}, life.track([](Ctx& ctx) -> blazen_status {
              ctx.set_once("a." + ctx.input(), "true");
              ctx.publish("P", ctx.input());
              if (ctx.input() == "2") return ctx.fail(-9, "no more", native("traceback", "python/pickle"));
              return BLAZEN_OK;
            }));
          }};
}

Shape stop_with_leftovers() {
  return {"StopWithLeftovers", [](Life& life) {
            Spec spec("leftovers");
            spec.start(life.track([](Ctx& ctx) {
              for (int i = 0; i < 4; ++i) ctx.emit("A", std::to_string(i));
              ctx.emit("End");
              for (int i = 4; i < 8; ++i) ctx.emit("A", std::to_string(i));
            }));
            spec.step("a", {"A"}, life.track([](Ctx& ctx) { ctx.set_once("a." + ctx.input(), "true"); }), 1);
            return spec.step("end", {"End"}, life.track([](Ctx& ctx) {
              ctx.send("A", "8");
              ctx.stop(native("result", "python/pickle"));
              ctx.stop("\"not this\"");
            }));
          }};
}

Shape no_handler() {
  return {"NoHandler",
          [](Life& life) {
            Spec spec("nohandler");
            spec.start(life.track([](Ctx& ctx) {
              ctx.publish("P");
              ctx.emit("A");
              ctx.emit("Nobody");
              ctx.emit("A");
            }));
            return spec.step("a", {"A"}, life.track([](Ctx&) {}));
          },
          "null",
          nullptr,
          nullptr,
          4};
}

Shape stalling() {
  return {"Stalling",
          [](Life& life) {
            Spec spec("stalling");
            spec.unhandled = BLAZEN_UNHANDLED_IGNORE;
            spec.start(life.track([](Ctx& ctx) {
              ctx.emit("A");
              ctx.emit("Ignored");
            }));
            return spec.step("a", {"A"}, life.track([](Ctx& ctx) { ctx.set_once("a", "1"); }));
          },
          "null",
          nullptr,
          nullptr,
          4};
}

Shape loop() {
  return {"Loop", [](Life& life) {
            Spec spec("loop");
            return spec.step("again", {BLAZEN_START_EVENT, "Again"}, life.track([](Ctx& ctx) {
              const int round = ctx.input() == "null" ? 0 : std::stoi(ctx.input());
              ctx.set_once("round." + std::to_string(round), "true");
              if (round == 2) ctx.remove("round.1");
              if (round == 12) ctx.stop("\"" + ctx.keys() + "\"");
              if (round < 12) ctx.emit("Again", std::to_string(round + 1));
            }));
          }};
}

Shape from_outside() {
  return {"EventsFromOutside",
          [](Life& life) {
            Spec spec("outside");
            spec.idle = BLAZEN_IDLE_WAIT;
            spec.start(life.track([](Ctx& ctx) { ctx.set_once("started", "true"); }));
            return spec.step("in", {"In"}, life.track([](Ctx& ctx) {
              ctx.set_once("in." + ctx.input(),
                           "\"" + correlation_of(ctx.trigger()) + source_of(ctx.trigger()) + "\"");
              if (ctx.count("in.") == 3) ctx.stop("\"" + ctx.keys() + "\"");
            }));
          },
          "null", nullptr,
          [](size_t number) {
            return event("In", json(std::to_string(number)), "order " + std::to_string(number));
          }};
}

Shape batches() {
  return {"BatchesAndSession", [](Life& life) {
            Spec spec("batches");
            spec.start(life.track([](Ctx& ctx) {
              Batch batch;
              MUST(blazen_batch_create(batch.out(), e));
              MUST(blazen_batch_expect(batch, BLAZEN_TEXT("x"), 0, e));
              MUST(blazen_batch_set(batch, BLAZEN_TEXT("x"), json("1"), e));
              MUST(blazen_batch_set(batch, BLAZEN_TEXT("y"), bytes("2"), e));
              (void)blazen_context_apply(ctx.raw, batch, nullptr);
              (void)blazen_context_compare_and_set(ctx.raw, BLAZEN_TEXT("z"), 0, json("3"), nullptr, nullptr);
              if (!ctx.has_session("s")) ctx.set_session("s", json("4"));
              ctx.emit("A");
            }));
            return spec.step("a", {"A"}, life.track([](Ctx& ctx) {
              ctx.remove("y");
              ctx.remove_session("s");
              ctx.stop("\"" + ctx.keys() + std::to_string(ctx.version("z")) + ctx.session_keys() + "\"");
            }));
          }};
}

// A shape in which time passes, and how it ends.
Shape timed(std::string ending, Shape shape) {
  shape.timed = true;
  shape.ending = std::move(ending);
  return shape;
}

// Two attempts fail, of two steps at once; what they sent and published counts once.
Shape retrying(uint32_t concurrency_max) {
  return timed(
      "5 json [\"attempts.0,attempts.1,attempts.2,attempts.3,done.11,done.12,done.13,done.9,t"
      "ried.10,tried.6,tried.7,tried.8\",31]",
      {"Retrying" + std::to_string(concurrency_max), [concurrency_max](Life& life) {
         Spec spec("retrying");
         spec.start(life.track([](Ctx& ctx) {
           for (int i = 0; i < 4; ++i) ctx.emit("Work", std::to_string(i));
         }));
         spec.step("work", {"Work"}, life.track([](Ctx& ctx) -> blazen_status {
               ctx.publish("Trying", ctx.input());
               ctx.send("Tried", ctx.input());
               if (ctx.input() != "2" && ctx.attempt() < 3) return ctx.fail(ctx.attempt(), "not yet");
               ctx.set_once("attempts." + ctx.input(), std::to_string(ctx.attempt()));
               return ctx.emit("Done");
             }),
                   concurrency_max)
             .retry(retries(3, 100, 2));
         spec.step("tried", {"Tried"}, life.track([](Ctx& ctx) {
           ctx.set_once("tried." + std::to_string(ctx.event_id()), "true");
         }));
         return spec.step("join", {"Done"}, life.track([](Ctx& ctx) {
           ctx.set_once("done." + std::to_string(ctx.event_id()), "true");
           if (ctx.count("done.") == 4)
             ctx.stop("[\"" + ctx.keys() + "\"," + ctx.text("attempts.0") + ctx.text("attempts.2") + "]");
         }));
       }});
}

// Moments that are equal, one of them that of a retry; one event to one step.
Shape delayed() {
  return timed(
      "5 json [\"late.0,late.1,late.2,late.3,late.5\",{\"request_id\":\"i1.1\",\"response\":\"re i1.1"
      "\"}]",
      {"DelayedInEqualMoments", [](Life& life) {
         Spec spec("delayed");
         spec.start(life.track([](Ctx& ctx) {
           for (int i = 0; i < 3; ++i) ctx.emit_in(100, "Late", std::to_string(i));
           ctx.emit_in(50, "Late", "3");
           blazen_send_options options = to_step("other");
           options.delay_ms = 100;
           MUST(blazen_context_send_event(ctx.raw, event("Late", "4"), &options, e));
           ctx.emit("Try");
           ctx.emit_in(300, BLAZEN_INPUT_REQUEST_EVENT, "{\"prompt\":\"later\"}");
         }));
         spec.step("late", {"Late"}, life.track([](Ctx& ctx) {
           ctx.publish("Late", ctx.input());
           ctx.set_once("late." + ctx.input(), "true");
           if (ctx.input() == "3") ctx.emit_in(50, "Late", "5");
         }));
         spec.step("other", {"Late"}, life.track([](Ctx& ctx) { ctx.publish("Other", ctx.input()); }));
         spec.step("try", {"Try"}, life.track([](Ctx& ctx) -> blazen_status {
               ctx.publish("Trying");
               return ctx.attempt() < 2 ? ctx.fail(1, "not yet") : ctx.failed;
             }))
             .retry(retries(2, 100));
         return spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, life.track([](Ctx& ctx) {
           ctx.stop("[\"" + ctx.keys() + "\"," + ctx.input() + "]");
         }));
       }});
}

// One body that asks twice, one after the other; one that asks for two answers at once.
Shape asking() {
  return timed(
      "5 json [\"done.11,done.9,late,noted\",[\"re i2.1\",\"re second\"]]",
      {"StepsThatAsk", [](Life& life) {
         Spec spec("asking");
         spec.start(life.track([](Ctx& ctx) {
           ctx.emit("One");
           ctx.emit("Both");
           ctx.emit_in(10, "Late");
         }));
         spec.step("one", {"One"}, life.track([](Ctx& ctx) -> blazen_status {
           ctx.send("Note", "1");
           const std::string first = ctx.ask("first?");
           if (first.empty()) return BLAZEN_PENDING;
           ctx.publish("Answered", first);
           const std::string second = ctx.ask("second?", "second");
           if (second.empty()) return BLAZEN_PENDING;
           return ctx.emit("Done", "[" + first + "," + second + "]");
         }));
         spec.step("both", {"Both"}, life.track([](Ctx& ctx) -> blazen_status {
           const std::string first = ctx.ask("this?");
           const std::string second = ctx.ask("that?");
           if (first.empty() || second.empty()) return BLAZEN_PENDING;
           return ctx.emit("Done", "[" + first + "," + second + "]");
         }));
         spec.step("note", {"Note"}, life.track([](Ctx& ctx) { ctx.set_once("noted", ctx.input()); }));
         spec.step("late", {"Late"}, life.track([](Ctx& ctx) { ctx.set_once("late", ctx.input()); }));
         return spec.step("join", {"Done"}, life.track([](Ctx& ctx) {
           ctx.set_once("done." + std::to_string(ctx.event_id()), ctx.input());
           if (ctx.count("done.") == 2) ctx.stop("[\"" + ctx.keys() + "\"," + ctx.input() + "]");
         }));
       }});
}

// Attempts that send, publish and ask something else than those before them, each after its answer.
Shape diverging() {
  return timed("5 json [\"again.5,part.2,part.7\",\"re i1.2.41f7bc5aa3edb089\"]",
               {"AttemptsThatDiverge", [](Life& life) {
                  Spec spec("diverging");
                  spec.start(life.track([](Ctx& ctx) -> blazen_status {
                        const std::string attempt = std::to_string(ctx.attempt());
                        ctx.send(ctx.attempt() == 2 ? "Again" : "Part", attempt);
                        ctx.publish("Progress", attempt);
                        const std::string same = ctx.ask("same?");
                        const std::string answer = ctx.ask("attempt " + attempt + "?");
                        if (same.empty() || answer.empty()) return BLAZEN_PENDING;
                        if (ctx.attempt() < 3) return ctx.fail(1, "not yet");
                        return ctx.emit("End", answer);
                      }))
                      .retry(retries(3, 100));
                  const auto note = [](const char* prefix) {
                    return [prefix](Ctx& ctx) {
                      ctx.set_once(prefix + std::to_string(ctx.event_id()), ctx.input());
                    };
                  };
                  spec.step("part", {"Part"}, life.track(note("part.")));
                  spec.step("again", {"Again"}, life.track(note("again.")));
                  return spec.step("end", {"End"}, life.track([](Ctx& ctx) {
                    ctx.stop("[\"" + ctx.keys() + "\"," + ctx.input() + "]");
                  }));
                }});
}

// Three questions of default ids, of one step; each answer is an event.
Shape events_that_ask() {
  return timed(
      "5 json [\"answer.i1.1,answer.i1.2,answer.i1.3\",{\"request_id\":\"i1.2\",\"response\":\"re i1."
      "2\"}]",
      {"EventsThatAsk", [](Life& life) {
         Spec spec("questions");
         spec.start(life.track([](Ctx& ctx) {
           for (int i = 0; i < 3; ++i)
             ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{\"prompt\":\"" + std::to_string(i) + "\"}");
         }));
         return spec.step("answered", {BLAZEN_INPUT_RESPONSE_EVENT}, life.track([](Ctx& ctx) {
           ctx.set_once("answer." + correlation_of(ctx.trigger()), ctx.input());
           if (ctx.count("answer.") == 3)
             ctx.stop("[\"" + ctx.keys() + "\"," + ctx.text("answer.i1.2") + "]");
         }));
       }});
}

Shape failure_that_is_handled() {
  return timed(
      "5 json [\"failure,tried.1,tried.2\",{\"step\":\"work\",\"attempt\":2,\"invocation_id\":2,\"event"
      "_type\":\"Work\",\"status\":\"BLAZEN_ERROR_HOST\",\"message\":\"never\",\"host_code\":-3,\"detail_"
      "omitted\":\"detail is NATIVE; only JSON can stand inside another value\"}]",
      {"FailureThatIsHandled", [](Life& life) {
         Spec spec("handled");
         spec.start(life.track([](Ctx& ctx) { ctx.emit("Work"); }));
         spec.step("work", {"Work"}, life.track([](Ctx& ctx) -> blazen_status {
               ctx.set_once("tried." + std::to_string(ctx.attempt()), "true");
               return ctx.fail(-3, "never", native("traceback", "python/pickle"));
             }))
             .retry(retries(2, 10));
         return spec.step("rescue", {BLAZEN_STEP_FAILED_EVENT}, life.track([](Ctx& ctx) {
           ctx.set_once("failure", ctx.input());
           ctx.stop("[\"" + ctx.keys() + "\"," + ctx.input() + "]");
         }));
       }});
}

Shape atomic_step() {
  return timed("5 json [\"a,c,seen.2,seen.3\",1,2]",
               {"AtomicStepThatFailsOnce", [](Life& life) {
                  Spec spec("atomic");
                  spec.start(life.track([](Ctx& ctx) -> blazen_status {
                        ctx.set("a", std::to_string(ctx.attempt()));
                        ctx.send("Seen", ctx.text("a"));
                        ctx.remove("b");
                        ctx.set("c", "1");
                        ctx.emit("Seen", "0");
                        return ctx.attempt() < 2 ? ctx.fail(1, "no") : ctx.failed;
                      }))
                      .atomic()
                      .retry(retries(2, 10));
                  return spec.step("seen", {"Seen"}, life.track([](Ctx& ctx) {
                    ctx.set_once("seen." + std::to_string(ctx.event_id()), ctx.input());
                    if (ctx.count("seen.") == 2)
                      ctx.stop("[\"" + ctx.keys() + "\"," + std::to_string(ctx.version("a")) + "," +
                               std::to_string(ctx.version("c")) + "]");
                  }));
                }});
}

// A body pauses its run, and the host lets it go on; with a timer, and with a deferred invocation.
Shape pausing(blazen_pause_mode mode) {
  return timed("5 json \"work.0,work.1,work.2\"",
               {mode == BLAZEN_PAUSE_NOW ? "Pausing" : "Draining",
                [mode](Life& life) {
                  Spec spec("pausing");
                  spec.start(life.track([mode](Ctx& ctx) {
                    ctx.send("Deferred");
                    for (int i = 0; i < 2; ++i) ctx.emit("Work", std::to_string(i));
                    ctx.emit_in(100, "Work", "2");
                    MUST(blazen_run_pause(ctx.run(), mode, e));
                    ctx.publish("Paused");
                  }));
                  spec.step("deferred", {"Deferred"}, life.track([&life, mode](Ctx& ctx) {
                    MUST(blazen_run_pause(ctx.run(), mode, e));
                    return life.pend(ctx);
                  }));
                  return spec.step("work", {"Work"}, life.track([](Ctx& ctx) {
                    ctx.set_once("work." + ctx.input(), "true");
                    if (ctx.has("work.2")) ctx.stop("\"" + ctx.keys() + "\"");
                  }));
                },
                "null", [](Ctx& ctx) { ctx.publish("Finished"); }});
}

// What time it has had by then counts, over all lives.
Shape timing_out() {
  Shape shape = timed(
      "6 BLAZEN_ERROR_RUN_TIMEOUT[the run timed out: it did not end within its 1000 ms; open: in flight: "
      "'hang';"
      " delayed events: 'Again']",
      {"TimingOut", [](Life& life) {
         Spec spec("timeout");
         spec.timeout_ms = 1000;
         spec.start(life.track([](Ctx& ctx) {
           ctx.emit("Hang");
           ctx.emit("Again", "0");
         }));
         spec.step("again", {"Again"}, life.track([](Ctx& ctx) {
           const int round = std::stoi(ctx.input());
           ctx.set_once("again." + ctx.input(), "true");
           ctx.publish("Round", ctx.input());
           ctx.emit_in(300, "Again", std::to_string(round + 1));
         }));
         return spec.step("hang", {"Hang"}, life.track([&life](Ctx& ctx) { return life.pend(ctx); }));
       }});
  shape.forgets = true;
  return shape;
}

// Joins of scopes within scopes: children that answer thrice, not at all, after retries, or fail.
Shape joins_nested() {
  return timed(
      "5 json [[],[10],[21,21,20],[-1,31,31]]",
      {"JoinsNested", [](Life& life) {
         Spec spec("nested");
         spec.start(life.track([](Ctx& ctx) {
           ctx.send("Chapter", "0");
           for (int i = 1; i < 4; ++i) ctx.emit("Chapter", std::to_string(i));
         }));
         spec.step("chapter", {"Chapter"}, life.track([](Ctx& ctx) -> blazen_status {
               const int chapter = std::stoi(ctx.input());
               if (chapter != 0) ctx.send("Page", std::to_string(10 * chapter));
               if (chapter == 3 && ctx.attempt() < 2) return ctx.fail(1, "once more");
               for (int i = 1; i < chapter; ++i) ctx.emit_in(i, "Page", std::to_string(10 * chapter + i));
               return ctx.failed;
             }))
             .retry(retries(2, 5));
         spec.step("page", {"Page"}, life.track([](Ctx& ctx) -> blazen_status {
               const int page = std::stoi(ctx.input());
               if (page == 30) return ctx.fail(2, "torn");
               if (page == 20 && ctx.attempt() < 2) return ctx.fail(1, "once more");
               for (int i = 0; i < page % 10 + 1 && page != 32; ++i) ctx.emit("Read", ctx.input());
               return ctx.failed;
             }),
                   1)
             .retry(retries(2, 3));
         spec.step("mend", {BLAZEN_STEP_FAILED_EVENT}, life.track([](Ctx& ctx) { ctx.emit("Read", "-1"); }));
         spec.step("chapter_read", {"Read"}, life.track([](Ctx& ctx) {
               ctx.publish("Chapter", "[" + ctx.events() + "]");
               ctx.emit("Summary", "[" + ctx.events() + "]");
             }))
             .joins({"chapter"});
         return spec
             .step("book_read", {"Summary"}, life.track([](Ctx& ctx) { ctx.stop("[" + ctx.events() + "]"); }))
             .joins({.of = "start", .ordered = true});
       }});
}

// The first two of many; what comes after them is late.
Shape joins_first_n() {
  return timed("5 json [3,2]",
               {"JoinsFirstN", [](Life& life) {
                  Spec spec("first");
                  spec.start(life.track([](Ctx& ctx) {
                    for (int i = 0; i < 4; ++i) ctx.emit_in(10 * (4 - i), "Part", std::to_string(i));
                    ctx.emit_in(100, "End");
                  }));
                  spec.step("work", {"Part"}, life.track([](Ctx& ctx) { ctx.emit("Done", ctx.input()); }));
                  spec.step("join", {"Done"},
                            life.track([](Ctx& ctx) { ctx.set_once("joined", "[" + ctx.events() + "]"); }))
                      .joins({.of = "start", .mode = BLAZEN_JOIN_FIRST_N, .n = 2});
                  return spec.step("end", {"End"},
                                   life.track([](Ctx& ctx) { ctx.stop(ctx.text("joined")); }));
                }});
}

// The rest is cancelled, whatever it waits for, scopes inside too.
Shape joins_cancel() {
  Shape shape = timed(
      "5 json [1,2]",
      {"JoinsCancelTheRest", [](Life& life) {
         Spec spec("cancel");
         spec.idle = BLAZEN_IDLE_WAIT;
         spec.start(life.track([](Ctx& ctx) {
           ctx.emit("Race", "1");
           ctx.emit("Race", "2");
         }));
         spec.step("race", {"Race"}, life.track([](Ctx& ctx) {
           ctx.emit("Ask");
           ctx.emit_in(1000, "Part", "9");
           ctx.emit("Open");
           ctx.emit("Fails");
           ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}");
           ctx.emit_in(20, "Part", ctx.input());
         }));
         spec.step("asks", {"Ask"}, life.track([](Ctx& ctx) -> blazen_status {
           return ctx.ask("?").empty() ? BLAZEN_PENDING : ctx.emit("Done", "7");
         }));
         spec.step("open", {"Open"}, life.track([](Ctx& ctx) {
           ctx.emit_in(2000, "Inner");
           ctx.emit("Inner", "1");
         }));
         spec.step("inner", {"Inner"}, life.track([&life](Ctx& ctx) { return life.pend(ctx); }));
         spec.step("inner_join", {"Never"}, life.track([](Ctx&) {})).joins({"open"});
         spec.step("fails", {"Fails"}, life.track([](Ctx& ctx) { return ctx.fail(1, "no"); }))
             .retry(retries(9, 3000));
         spec.step("work", {"Part"}, life.track([](Ctx& ctx) { ctx.emit("Done", ctx.input()); }));
         spec.step("join", {"Done"}, life.track([](Ctx& ctx) { ctx.emit("Won", ctx.events()); }))
             .joins({.of = "race", .mode = BLAZEN_JOIN_ANY, .cancel_rest = true});
         return spec.step("all", {"Won"}, life.track([](Ctx& ctx) { ctx.stop("[" + ctx.events() + "]"); }))
             .joins({"start"});
       }});
  shape.forgets = true;
  return shape;
}

// Deadlines: one gives what has come, one fails and is handled; equal moments.
Shape joins_deadline() {
  return timed("5 json [\"a,failed\",[\"a\"],{\"step\":\"join_b\",\"attempt\":1,\"invocation_id\":0,",
               {"JoinsDeadline", [](Life& life) {
                  Spec spec("deadline");
                  spec.start(life.track([](Ctx& ctx) {
                    ctx.emit("A");
                    ctx.emit("B");
                    ctx.emit_in(150, "End");
                  }));
                  const auto opens = [](Ctx& ctx) {
                    ctx.emit("Part", "\"" + ctx.step() + "\"");
                    ctx.emit_in(120, "Part", "\"late " + ctx.step() + "\"");
                  };
                  spec.step("a", {"A"}, life.track(opens)).step("b", {"B"}, life.track(opens));
                  spec.step("work", {"Part"}, life.track([](Ctx& ctx) {
                    const bool is_a = ctx.input().find('a') != std::string::npos &&
                                      ctx.input().find('b') == std::string::npos;
                    ctx.emit(is_a ? "DoneA" : "DoneB", ctx.input());
                  }));
                  spec.step("join_a", {"DoneA"},
                            life.track([](Ctx& ctx) { ctx.set_once("a", "[" + ctx.events() + "]"); }))
                      .joins({.of = "a", .deadline_ms = 100});
                  spec.step("join_b", {"DoneB"},
                            life.track([](Ctx& ctx) { ctx.set_once("b", "[" + ctx.events() + "]"); }))
                      .joins({.of = "b", .deadline_ms = 100, .at_deadline = BLAZEN_JOIN_DEADLINE_FAIL});
                  spec.step("mend", {BLAZEN_STEP_FAILED_EVENT},
                            life.track([](Ctx& ctx) { ctx.set_once("failed", ctx.input()); }));
                  return spec.step("end", {"End"}, life.track([](Ctx& ctx) {
                    ctx.stop("[\"" + ctx.keys() + "\"," + ctx.text("a") + "," + ctx.text("failed") + "]");
                  }));
                }});
}

// One group for each correlation, of the first two arrivals; some fall short.
Shape joins_by_event() {
  return timed(
      "5 json [[\"c\",0,3,2],[\"<none>\",1,4,2],[\"a\",2,3]]",
      {"JoinsByEvent", [](Life& life) {
         Spec spec("groups");
         spec.start(life.track([](Ctx& ctx) { ctx.emit("All"); }));
         spec.step("open", {"All"}, life.track([](Ctx& ctx) {
           for (const int i : {0, 1, 2, 3, 4, 6}) ctx.emit("Part", std::to_string(i));
         }));
         spec.step("work", {"Part"}, life.track([](Ctx& ctx) {
           const std::string key(1, static_cast<char>('c' - std::stoi(ctx.input()) % 3));
           ctx.emit(event("Done", json(ctx.input()), key == "b" ? "" : key));
         }));
         spec.step("join", {"Done"}, life.track([](Ctx& ctx) {
               const blazen_join_info info = ctx.joined();
               ctx.emit("Sum", "[\"" + correlation_of(ctx.trigger()) + "\"," + ctx.events() + "," +
                                   std::to_string(info.reason) + "]");
             }))
             .joins({.of = "open", .mode = BLAZEN_JOIN_FIRST_N, .n = 2, .by_event = true});
         return spec.step("outer", {"Sum"}, life.track([](Ctx& ctx) { ctx.stop("[" + ctx.events() + "]"); }))
             .joins({"start"});
       }});
}

// The opener and the join are hosted on one site, the children on the other; one of them is asked for by an event.
Shape joins_elsewhere() {
  return timed(
      "5 json [0,1,2,{\"request_id\":\"i1.1\",\"response\":\"re i1.1\"}]",
      {"JoinsElsewhere", [](Life& life) {
         Spec spec("far");
         const auto add = [&](int site, const char* name, std::vector<std::string> accepts, Body body) {
           if (life.site() == site) {
             spec.step(name, std::move(accepts), life.track(std::move(body)));
           } else {
             spec.elsewhere(name, std::move(accepts));
           }
         };
         add(0, "start", {BLAZEN_START_EVENT}, [](Ctx& ctx) {
           for (int i = 0; i < 3; ++i) ctx.emit("Part", std::to_string(i));
           ctx.emit(BLAZEN_INPUT_REQUEST_EVENT, "{}");
         });
         add(1, "work", {"Part"}, [](Ctx& ctx) { ctx.emit("Done", ctx.input()); });
         add(1, "answer", {BLAZEN_INPUT_RESPONSE_EVENT}, [](Ctx& ctx) { ctx.emit("Done", ctx.input()); });
         add(0, "join", {"Done"}, [](Ctx& ctx) { ctx.emit("End", "[" + ctx.events() + "]"); });
         spec.joins({.of = "start", .ordered = true});
         add(1, "end", {"End"}, [](Ctx& ctx) { ctx.stop(ctx.input()); });
         return spec;
       }});
}

// Bodies that collect, are tried again and ask in between, in a scope and in none.
Shape collecting() {
  return timed(
      "5 json [7,[5,3,4],[1,0,2]]",
      {"Collecting", [](Life& life) {
         Spec spec("collecting");
         spec.start(life.track([](Ctx& ctx) {
           for (int i = 0; i < 6; ++i) ctx.emit(i % 4 == 1 ? "A" : "B", std::to_string(i));
           ctx.emit("Open");
         }));
         spec.step("open", {"Open"}, life.track([](Ctx& ctx) {
           ctx.emit("A", "7");
           ctx.emit("B", "8");
         }));
         spec.step("take", {"A", "B"}, life.track([](Ctx& ctx) -> blazen_status {
               const blazen_status status = ctx.collect("key", {{"A", 1}, {"B", 2}});
               if (ctx.attempt() < 2) return ctx.fail(1, "once more");
               if (status == BLAZEN_PENDING) return BLAZEN_PENDING;
               ctx.send("Given");
               if (ctx.ask("good?").empty()) return BLAZEN_PENDING;
               return ctx.emit("Group", "[" + ctx.events() + "]");
             }),
                   1)
             .retry(retries(2, 5));
         spec.step("given", {"Given"}, life.track([](Ctx&) {}));
         spec.step("join", {"Never"}, life.track([](Ctx& ctx) { ctx.emit("Group", "7"); })).joins({"open"});
         return spec.step("end", {"Group"}, life.track([](Ctx& ctx) -> blazen_status {
           if (ctx.collect("", {{"Group", 3}}) != BLAZEN_OK) return BLAZEN_PENDING;
           return ctx.stop("[" + ctx.events() + "]");
         }));
       }});
}

// Three children of one step, with a state, sends and streams of their own.
Shape children() {
  return {"Children", [](Life& life) {
            Spec inner("inner");
            inner.start(life.track([](Ctx& ctx) {
              ctx.set_once("got", ctx.input());
              ctx.publish("Inner", ctx.input());
              ctx.emit("A", "1");
              ctx.emit("B", "2");
            }));
            inner.step("a", {"A"},
                       life.track([](Ctx& ctx) { ctx.send("Join", "\"a" + ctx.text("got") + "\""); }));
            inner.step("b", {"B"}, life.track([](Ctx& ctx) { ctx.emit("Join", "\"b\""); }));
            inner.step("end", {"Join"}, life.track([](Ctx& ctx) -> blazen_status {
              if (ctx.collect("", {{"Join", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
              return ctx.stop("[" + ctx.events() + "]");
            }));
            Spec spec("outer");
            spec.start(life.track([](Ctx& ctx) {
              for (int i = 0; i < 3; ++i) ctx.emit("Part", std::to_string(i));
            }));
            spec.child("inner", {"Part"}, inner);
            return spec.step("join", {"inner::output"}, life.track([](Ctx& ctx) {
              ctx.set_once("done." + ctx.input(), "true");
              if (ctx.count("done.") == 3) ctx.stop("\"" + std::to_string(ctx.keys().size()) + "\"");
            }));
          }};
}

// Children in a child, that ask, are deferred, and are tried again; with mappers around them.
Shape children_that_wait() {
  return timed("5 json ",
               {.name = "ChildrenThatWait",
                .spec =
                    [](Life& life) {
                      Spec leaf("leaf");
                      leaf.start(life.track([&life](Ctx& ctx) -> blazen_status {
                        if (ctx.input() == "1") return life.pend(ctx);
                        if (ctx.input() == "2" && ctx.attempt() == 1) return ctx.fail(3, "once more");
                        const std::string answer = ctx.ask("who?");
                        if (answer.empty()) return BLAZEN_PENDING;
                        return ctx.emit_in(1000, "Later", "1");
                      }));
                      leaf.retry(retries(2, 500));
                      leaf.step("later", {"Later"}, life.track([](Ctx& ctx) { ctx.stop(ctx.input()); }));
                      Spec middle("middle");
                      middle.start(life.track([](Ctx& ctx) {
                        ctx.emit("Leaf", ctx.input());
                        ctx.emit("Leaf", "1");
                      }));
                      middle.child("leaf", {"Leaf"}, leaf).input(life.track([](Ctx& ctx) {
                        ctx.answer(ctx.input());
                      }));
                      middle.step("end", {"leaf::output"}, life.track([](Ctx& ctx) -> blazen_status {
                        if (ctx.collect("", {{"leaf::output", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
                        return ctx.stop("[" + ctx.events() + "]");
                      }));
                      Spec spec("waiting");
                      spec.start(life.track([](Ctx& ctx) {
                        ctx.emit("Middle", "2");
                        ctx.emit("Middle", "3");
                      }));
                      spec.child("middle", {"Middle"}, middle).output(life.track([](Ctx& ctx) {
                        ctx.answer("[" + ctx.input() + "]");
                      }));
                      return spec.step("end", {"middle::output"}, life.track([](Ctx& ctx) -> blazen_status {
                        if (ctx.collect("", {{"middle::output", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
                        return ctx.stop("[" + ctx.events() + "]");
                      }));
                    },
                .finish = [](Ctx& ctx) { ctx.stop("\"deferred\""); }});
}

// Several at once: all, and the first success, where others are cut off.
Shape children_at_once(bool first_success) {
  return timed(
      first_success ? "5 json 2" : "5 json {\"one\":1,\"two\":2}",
      {first_success ? "FirstSuccess" : "AllOfSeveral", [first_success](Life& life) {
         Spec one("one");
         one.start(life.track([](Ctx& ctx) { ctx.emit_in(2000, "Later"); }));
         one.step("later", {"Later"}, life.track([](Ctx& ctx) { ctx.stop("1"); }));
         Spec two("two");
         two.start(life.track([](Ctx& ctx) -> blazen_status {
           if (ctx.attempt() == 1) return ctx.fail(1, "once more");
           ctx.publish("Two", "2");
           return ctx.stop("2");
         }));
         two.retry(retries(2, 100));
         Spec three("three");
         three.start(life.track([](Ctx& ctx) -> blazen_status { return ctx.fail(2, "never"); }));
         Spec spec("at_once");
         if (first_success) {
           spec.children("both", {BLAZEN_START_EVENT}, {{"one", one}, {"three", three}, {"two", two}}, true);
         } else {
           spec.children("both", {BLAZEN_START_EVENT}, {{"one", one}, {"two", two}});
         }
         spec.retry(retries(2, 50));
         return spec.step("end", {"both::output"}, life.track([](Ctx& ctx) { ctx.stop(ctx.input()); }));
       }});
}

// A child whose inner step is at the other site.
Shape children_elsewhere() {
  return {.name = "ChildrenElsewhere", .spec = [](Life& life) {
            Spec inner("inner");
            inner.start(life.track([](Ctx& ctx) {
              ctx.set_once("begun", "true");
              ctx.emit("There", ctx.input());
            }));
            if (life.site() == 1) {
              inner.step("there", {"There"},
                         life.track([](Ctx& ctx) { ctx.emit("Back", "[" + ctx.input() + "]"); }));
              inner.elsewhere("back", {"Back"});
            } else {
              inner.elsewhere("there", {"There"});
              inner.step("back", {"Back"}, life.track([](Ctx& ctx) { ctx.stop(ctx.input()); }));
            }
            Spec spec("outer");
            spec.start(life.track([](Ctx& ctx) {
              ctx.emit("Part", "1");
              ctx.emit("Part", "2");
            }));
            spec.child("inner", {"Part"}, inner);
            return spec.step("end", {"inner::output"}, life.track([](Ctx& ctx) -> blazen_status {
              if (ctx.collect("", {{"inner::output", 2}}) != BLAZEN_OK) return BLAZEN_PENDING;
              return ctx.stop("[" + ctx.events() + "]");
            }));
          }};
}

// Every kind of stage: mapped, skipped, in rounds that ask and fail, several at once, a pipeline itself.
Shape pipeline() {
  Shape shape = timed("5 json [\"two\",", {.name = "Pipeline"});
  shape.input = "1";
  shape.pipeline = [](Life& life) {
    const auto one_step = [&life](const std::string& name, Body body) {
      Spec spec(name);
      spec.start(life.track(std::move(body)));
      return spec;
    };
    const Spec add = one_step("add", [](Ctx& ctx) { ctx.stop(std::to_string(std::stoi(ctx.input()) + 1)); });
    PipelineSpec spec;
    spec.name = "stages";
    spec.stage("one", add)
        .input(life.track([](Ctx& ctx) { ctx.answer(ctx.input()); }))
        .output(life.track([](Ctx& ctx) { ctx.answer(ctx.input()); }));
    spec.stage("skipped", add).condition(life.track([](Ctx& ctx) { ctx.answer("false"); }));
    Spec round("round");
    round.start(life.track([](Ctx& ctx) -> blazen_status {
      if (ctx.input() == "3" && ctx.ask("go on?").empty()) return BLAZEN_PENDING;
      if (ctx.input() == "4" && ctx.attempt() == 1) return ctx.fail(1, "once more");
      ctx.publish("Round", ctx.input());
      return ctx.emit_in(100, "Later", std::to_string(std::stoi(ctx.input()) + 1));
    }));
    round.retry(retries(2, 50));
    round.step("later", {"Later"}, life.track([](Ctx& ctx) { ctx.stop(ctx.input()); }));
    spec.stage("loop", round, 5).until(life.track([](Ctx& ctx) {
      ctx.answer(std::stoi(ctx.input()) < 6 ? "\"again\"" : "\"done\"");
    }));
    spec.stages.back().retry = retries(2, 10);
    PipelineSpec inner;
    inner.name = "inner";
    inner.stage("a", add).stage("b", add);
    spec.stage("inner", inner.build());
    spec.parallel("both",
                  {{"one", add}, {"two", one_step("two", [&life](Ctx& ctx) { return life.pend(ctx); })}})
        .output(life.track([](Ctx& ctx) { ctx.answer("[\"two\"," + ctx.events() + "]"); }));
    return spec;
  };
  shape.finish = [](Ctx& ctx) { ctx.stop("\"deferred\""); };
  return shape;
}

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {pipeline(),
                                         children(),
                                         children_that_wait(),
                                         children_at_once(false),
                                         children_at_once(true),
                                         children_elsewhere(),
                                         collecting(),
                                         joins_nested(),
                                         joins_first_n(),
                                         joins_cancel(),
                                         joins_deadline(),
                                         joins_by_event(),
                                         joins_elsewhere(),
                                         linear(),
                                         fan_out_and_join(),
                                         several_acceptors(),
                                         pooled(),
                                         targeted(),
                                         limited(1),
                                         limited(2),
                                         sends_mid_step(),
                                         deferred(),
                                         unhandled_to_stream(),
                                         elsewhere(),
                                         payloads(),
                                         failing(),
                                         stop_with_leftovers(),
                                         no_handler(),
                                         stalling(),
                                         loop(),
                                         from_outside(),
                                         batches(),
                                         retrying(0),
                                         retrying(1),
                                         delayed(),
                                         asking(),
                                         diverging(),
                                         events_that_ask(),
                                         failure_that_is_handled(),
                                         atomic_step(),
                                         pausing(BLAZEN_PAUSE_NOW),
                                         pausing(BLAZEN_PAUSE_DRAIN),
                                         timing_out()};
  return all;
}

// --------------------------------------------------------------------------------------------------- the law

std::string shown(const std::vector<Item>& items) {
  std::string text;
  for (const Item& item : items)
    text += std::to_string(item.sequence) + ":" + item.type + "=" + item.value + "\n";
  return text;
}

void expect_same(const Ending& expected, const Ending& got, const std::string& where) {
  EXPECT_EQ(got.outcome, expected.outcome) << where;
  EXPECT_EQ(shown(got.trace.items), shown(expected.trace.items)) << where;
  EXPECT_EQ(got.trace.invocations, expected.trace.invocations) << where;
  for (const std::string& fault : got.trace.faults) ADD_FAILURE() << where << ": " << fault;
  EXPECT_TRUE(got.bytes == expected.bytes) << where << ": the final snapshots differ:\n"
                                           << info_of(parse(got.bytes)) << "\n"
                                           << info_of(parse(expected.bytes));
}

class Law : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Law, testing::ValuesIn(shapes()),
                         [](const testing::TestParamInfo<Shape>& info) { return info.param.name; });

TEST_P(Law, SnapshotAtEveryTickEndsAsTheUninterruptedRun) {
  std::vector<Tick> ticks;
  const Ending whole = uninterrupted(GetParam(), &ticks);
  EXPECT_GE(ticks.size(), GetParam().ticks_min);
  if (!GetParam().ending.empty())
    EXPECT_EQ(whole.outcome.substr(0, GetParam().ending.size()), GetParam().ending);
  EXPECT_TRUE(whole.trace.faults.empty());
  RecordProperty("ticks", static_cast<int>(ticks.size()));
  for (size_t k = 0; k < ticks.size(); ++k) {
    expect_same(whole, resumed(GetParam(), ticks[k]),
                "tick " + std::to_string(k) + " of " + std::to_string(ticks.size()));
    if (HasFailure()) return;
  }
}

TEST_P(Law, BeingSnapshottedDoesNotChangeARun) {
  std::vector<Tick> ticks;
  const Ending watched = uninterrupted(GetParam(), &ticks);
  const Ending alone = uninterrupted(GetParam(), nullptr);
  EXPECT_EQ(watched.outcome, alone.outcome);
  EXPECT_EQ(shown(watched.trace.items), shown(alone.trace.items));
  EXPECT_EQ(watched.trace.invocations, alone.trace.invocations);
}

TEST_P(Law, SecondSnapshotOfAResumedRunIsTheSameBytesAtEveryTick) {
  std::vector<Tick> ticks;
  uninterrupted(GetParam(), &ticks);
  for (const Tick& tick : ticks) {
    EXPECT_TRUE(bytes_of(parse(tick.bytes)) == tick.bytes);
    Trace trace;
    trace.now_ms = tick.trace.now_ms;  // once it is started, its clock is in its snapshot
    Life life(GetParam(), trace, tick.site);
    life.resume(tick.bytes, true);
    ASSERT_TRUE(snapshot_bytes(life.run()) == tick.bytes) << info_of(parse(tick.bytes));
    life.start_resumed();
    const std::string started = snapshot_bytes(life.run());
    if (info_of(parse(tick.bytes)).find("\"created\"") == std::string::npos) {
      ASSERT_TRUE(started == tick.bytes) << info_of(parse(tick.bytes)) << "\nstarted:\n"
                                         << info_of(parse(started));
    }
  }
}

// A process that dies after each completed step.
TEST_P(Law, ChainOfResumesEndsAsTheUninterruptedRun) {
  std::string bytes;
  Trace trace;
  int site = 0;
  {
    Life first(GetParam(), trace, site);
    first.create();
    bytes = snapshot_bytes(first.run());
  }
  const Tick created{bytes, trace, site};
  const Ending whole = resumed(GetParam(), created);
  for (int lives = 0; lives < 200; ++lives) {
    Life life(GetParam(), trace, site);
    life.resume(bytes);
    life.start_resumed();
    const blazen_run_state state = life.drive(1);
    bytes = snapshot_bytes(life.run());
    if (is_ended(state)) {
      expect_same(whole, {outcome(life.run()).text(), bytes, trace},
                  "after " + std::to_string(lives) + " lives");
      return;
    }
    if (state == BLAZEN_RUN_ELSEWHERE) site = 1 - site;
  }
  FAIL() << "the chain does not end";
}

// A process that dies anywhere, in the middle of steps too, again and again.
TEST_P(Law, ChainOfResumesFromAnyTickEndsAsTheUninterruptedRun) {
  Trace fresh;
  std::string created;
  {
    Life first(GetParam(), fresh, 0);
    first.create();
    created = snapshot_bytes(first.run());
  }
  const Tick begin{created, fresh, 0};
  const Ending whole = resumed(GetParam(), begin);
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    uint64_t random = seed;
    Tick tick = begin;
    bool ended = false;
    int lives = 0;
    for (; !ended && lives < 1000; ++lives) {
      std::vector<Tick> ticks;
      Trace trace = tick.trace;
      Life life(GetParam(), trace, tick.site);
      life.resume(tick.bytes);
      life.start_resumed();
      life.collect_ticks(ticks);
      const blazen_run_state state = life.drive(2);
      random = random * 6364136223846793005U + 1442695040888963407U;
      tick = ticks[(random >> 33) % ticks.size()];
      ended = is_ended(state) && tick.bytes == ticks.back().bytes;
      if (ended)
        expect_same(whole, {outcome(life.run()).text(), tick.bytes, trace}, "seed " + std::to_string(seed));
      if (state == BLAZEN_RUN_ELSEWHERE && tick.bytes == ticks.back().bytes) tick.site = 1 - tick.site;
    }
    ASSERT_TRUE(ended) << "the chain does not end";
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace bt
