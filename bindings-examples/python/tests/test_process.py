"""What concerns the whole process: its exit, Ctrl-C, forks, threads. Each program is a process of its own."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

HEAD = """
import asyncio, contextvars, gc, os, signal, sys, threading, time
from blazen import Context, Event, StartEvent, StopEvent, Workflow, step

class Go(Event):
    pass

"""


def program(text, *, interrupt=None, **options):
    """Runs a program, which is sent an interrupt when it says so; answers its status, output and errors."""
    environment = {**os.environ, "PYTHONDEVMODE": "1", "PYTHONFAULTHANDLER": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )
    try:
        if interrupt is not None:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            time.sleep(0.1)
            process.send_signal(interrupt)
        output, complaints = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, output, complaints


@pytest.mark.parametrize("is_async", [True, False])
def test_a_process_exits_with_a_body_at_work(is_async):
    status, output, complaints = program(
        f"""
        @step
        {"async " if is_async else ""}def slow(ctx: Context, ev: StartEvent):
            print("at work", flush=True)
            {"await asyncio.sleep(60)" if is_async else "time.sleep(60)"}

        async def main():
            Workflow("slow", [slow]).run_with_handler()
            await asyncio.sleep(0.1)

        started = time.monotonic()
        asyncio.run(main())
        assert time.monotonic() - started < 5
        """
    )
    assert (status, output) == (0, "at work\n"), complaints
    assert "Fatal" not in complaints


def test_a_process_exits_with_a_busy_worker_that_uses_its_context():
    status, _, complaints = program(
        """
        @step
        def busy(ctx: Context, ev: StartEvent):
            while True:
                ctx.write_event_to_stream(Go(n=1))

        async def main():
            Workflow("busy", [busy]).run_with_handler()
            await asyncio.sleep(0.1)

        asyncio.run(main())
        """
    )
    assert status == 0 and "Fatal" not in complaints, complaints


def test_a_process_exits_with_a_loop_that_was_never_closed():
    status, output, complaints = program(
        """
        @step
        async def slow(ctx: Context, ev: StartEvent):
            await asyncio.sleep(60)

        loop = asyncio.new_event_loop()

        async def main():
            return Workflow("slow", [slow]).run_with_handler()

        handler = loop.run_until_complete(main())
        loop.run_until_complete(asyncio.sleep(0.05))
        print("left", flush=True)
        """
    )
    assert (status, output) == (0, "left\n") and "Fatal" not in complaints, complaints


@pytest.mark.parametrize("body", ["await asyncio.sleep(60)", "time.sleep(60)"], ids=["waits", "blocks the loop"])
def test_ctrl_c_reaches_who_runs(body):
    status, output, complaints = program(
        f"""
        @step
        async def slow(ctx: Context, ev: StartEvent):
            print("ready", flush=True)
            {body}

        try:
            asyncio.run(Workflow("slow", [slow]).run())
        except KeyboardInterrupt:
            print("interrupted")
        """,
        interrupt=signal.SIGINT,
    ) if "await" in body else program(
        f"""
        @step
        async def slow(ctx: Context, ev: StartEvent):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            print("ready", flush=True)
            {body}

        try:
            asyncio.run(Workflow("slow", [slow]).run())
        except KeyboardInterrupt:
            print("interrupted")
        """,
        interrupt=signal.SIGINT,
    )  # fmt: skip
    assert (status, output) == (0, "interrupted\n"), complaints


def test_ctrl_c_reaches_who_runs_a_worker_step():
    status, output, complaints = program(
        """
        @step
        def slow(ctx: Context, ev: StartEvent):
            print("ready", flush=True)
            time.sleep(60)

        started = time.monotonic()
        try:
            Workflow("slow", [slow]).run_sync()
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - started < 5)
        """,
        interrupt=signal.SIGINT,
    )
    assert (status, output) == (0, "interrupted True\n"), complaints


@pytest.mark.parametrize("kind", ["async def", "def"])
@pytest.mark.parametrize("exception", ["KeyboardInterrupt", "SystemExit"])
def test_an_interrupt_that_a_step_raises_reaches_who_runs(kind, exception):
    status, output, complaints = program(
        f"""
        @step
        {kind} stop(ctx: Context, ev: StartEvent):
            raise {exception}("from the step")

        try:
            asyncio.run(Workflow("stop", [stop]).run())
        except {exception} as caught:
            print(repr(caught))
        """
    )
    assert (status, output) == (0, f"{exception}('from the step')\n"), complaints


def test_a_child_of_a_fork_runs_its_own():
    status, output, complaints = program(
        """
        @step
        def worker(ctx: Context, ev: StartEvent):
            return Go(pid=os.getpid())

        @step
        async def end(ctx: Context, ev: Go):
            return StopEvent(result=ev.pid)

        workflow = Workflow("fork", [worker, end])
        assert workflow.run_sync().result == os.getpid()
        child = os.fork()
        result = workflow.run_sync().result
        assert result == os.getpid()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            print("both")
        """
    )
    assert status == 0 and output == "both\n", complaints


def test_many_loops_in_many_threads():
    status, output, complaints = program(
        """
        @step
        async def begin(ctx: Context, ev: StartEvent):
            return [Go(n=n) for n in range(20)]

        @step
        def work(ctx: Context, ev: Go):
            ctx.set(f"k{ev.n}", ev.n)
            return Event("Done", n=ev.n)

        @step(accepts="Done", joins="begin")
        async def end(ctx, ev):
            return StopEvent(result=sum(each.n for each in ctx.events()))

        workflow = Workflow("many", [begin, work, end])
        results = []

        def thread():
            for _ in range(20):
                results.append(workflow.run_sync().result)

        threads = [threading.Thread(target=thread) for _ in range(4)]
        for each in threads: each.start()
        for each in threads: each.join()
        assert results == [190] * 80
        print("done")
        """
    )
    assert (status, output) == (0, "done\n"), complaints


def test_an_import_beside_the_other_distribution_is_refused(tmp_path):
    (tmp_path / "blazen-0.6.74.dist-info").mkdir()
    (tmp_path / "blazen-0.6.74.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: blazen\nVersion: 0.6.74\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({str(tmp_path)!r}); import blazen"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "both libblazen and the distribution 'blazen' 0.6.74" in done.stderr
