"""The threads of steps that are no coroutines: none is left behind, and none stays for ever."""

import threading
import time

from blazen import _workers


def until(condition):
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_more_work_than_threads_and_then_nothing_and_then_work_again(monkeypatch):
    monkeypatch.setattr(_workers, "_MOST", 2)
    monkeypatch.setattr(_workers, "_IDLE_SECONDS", 0.05)
    pool, done, gate = _workers._Pool(), [], threading.Event()

    def work():
        gate.wait(10)
        done.append(threading.current_thread())

    for _ in range(10):
        pool.submit(work)
    gate.set()
    assert until(lambda: len(done) == 10) and len(set(done)) == 2
    assert until(lambda: pool._threads == 0)
    assert (pool._idle, pool._backlog) == (0, 0)
    pool.submit(work)
    assert until(lambda: len(done) == 11)


def test_an_idle_thread_is_used_again(monkeypatch):
    pool, done = _workers._Pool(), []
    for count in range(1, 20):
        pool.submit(lambda: done.append(threading.current_thread()))
        assert until(lambda: len(done) == count and pool._idle == 1)
    assert len(set(done)) == 1
