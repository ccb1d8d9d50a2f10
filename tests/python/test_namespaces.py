"""State and session are dicts; the session keeps the identity of objects."""

import threading
import unittest

from support import blazen, nothing_left, one_step, result_of


class NamespacesTest(unittest.TestCase):
    def test_state_is_a_dict(self):
        def step(ctx, event):
            state = ctx.state
            state["b"], state["a"] = 2, None
            state.update({"c": 3}, d=4)
            seen = [list(state), len(state), "a" in state, 5 in state, state["a"], state.get("x", 9), state.pop("b")]
            del state["a"]
            with self.assertRaises(KeyError):
                state["a"]
            with self.assertRaises(KeyError):
                del state["a"]
            state.clear()
            return seen + [dict(state)]

        expected = [["a", "b", "c", "d"], 4, True, False, None, 9, 2, {}]
        self.assertEqual(result_of(one_step(step)), expected)

    def test_names_by_prefix(self):
        def step(ctx, event):
            ctx.state.update({"part/2": 1, "part/10": 1, "other": 1})
            return [ctx.state.names("part/"), ctx.session.names()]

        self.assertEqual(result_of(one_step(step)), [["part/10", "part/2"], []])

    def test_update_is_all_or_nothing(self):
        def step(ctx, event):
            with self.assertRaises(blazen.BlazenError):
                ctx.state.update({"a": 1, "b": threading.Lock()})
            return dict(ctx.state)

        self.assertEqual(result_of(one_step(step)), {})

    def test_versions_say_whether_somebody_else_has_written(self):
        def step(ctx):
            state = ctx.state
            self.assertEqual(state.version("a"), 0)
            first = state.compare_and_set("a", 0, "one")
            self.assertEqual(state.version("a"), first)
            second = state.compare_and_set("a", first, "two")
            self.assertGreater(second, first)
            for stale in (0, first):
                with self.assertRaises(blazen.BlazenError) as caught:
                    state.compare_and_set("a", stale, "three")
                self.assertEqual(caught.exception.status, blazen.Status.CONFLICT)
            return [state["a"], state.version("a") == second]

        self.assertEqual(result_of(one_step(lambda ctx, event: step(ctx))), ["two", True])

    def test_a_batch_sets_removes_and_expects_all_or_nothing(self):
        def step(ctx):
            state = ctx.state
            state.update(a=1, b=2)
            with self.assertRaises(blazen.BlazenError) as caught:
                state.apply({"a": 5}, remove=["b"], expect={"c": 7})
            self.assertEqual(caught.exception.status, blazen.Status.CONFLICT)
            self.assertEqual(dict(state), {"a": 1, "b": 2})
            state.apply({"a": 5}, remove=["b", "nothing"], expect={"a": state.version("a"), "c": 0})
            return dict(state)

        self.assertEqual(result_of(one_step(lambda ctx, event: step(ctx))), {"a": 5})

    def test_session_keeps_identity(self):
        things = [threading.Lock(), {"a": 1}, [1], lambda: 1, self]

        def step(ctx, event):
            for number, thing in enumerate(things):
                ctx.session[str(number)] = thing
            ctx.session["atom"] = 5
            return [ctx.session[str(number)] is thing for number, thing in enumerate(things)] + [ctx.session["atom"]]

        with nothing_left(self):
            self.assertEqual(result_of(one_step(step)), [True] * 5 + [5])

    def test_session_and_state_have_keys_of_their_own(self):
        def step(ctx, event):
            ctx.session["key"], ctx.state["key"] = 1, 2
            ctx.session.clear()
            return [len(ctx.session), ctx.state["key"]]

        self.assertEqual(result_of(one_step(step)), [0, 2])

    def test_a_context_is_over_with_its_step(self):
        kept = []
        result_of(one_step(lambda ctx, event: kept.append(ctx)))
        with self.assertRaises(blazen.BlazenError) as caught:
            kept[0].state["a"] = 1
        self.assertEqual(caught.exception.status, blazen.Status.WRONG_STATE)

    def test_what_a_context_knows(self):
        def step(ctx, event):
            return [ctx.run_id, ctx.workflow_name, ctx.step_name, ctx.invocation_id, ctx.attempt, ctx.is_cancelled]

        with blazen.Runtime() as runtime:
            run = runtime.run(one_step(step))
            self.assertEqual(run.result(), [run.id, "one step", "only", 1, 1, False])


if __name__ == "__main__":
    unittest.main()
