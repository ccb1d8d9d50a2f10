"""What the tests share."""

import asyncio
import inspect

import pytest

PATIENCE = 30.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """An `async def` test runs on a loop of its own, no longer than PATIENCE."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded():
        await asyncio.wait_for(pyfuncitem.obj(**given), PATIENCE)

    asyncio.run(bounded())
    return True


@pytest.fixture
def complaints():
    """What the loop's exception handler is told, once the fixture's function is called on a loop."""
    told = []

    def listen():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        return told

    return listen
