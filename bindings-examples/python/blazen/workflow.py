"""Workflows: steps by decorator, steps elsewhere, steps of another language in this process, steps that are workflows."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Sequence

from . import _interrupts, _objects, _read, errors, subworkflows
from ._arguments import choice, flag, milliseconds, milliseconds_or_0, percent, real, text, texts, whole
from ._bodies import body_of, call_body
from ._c import DROP_FN, STEP_FN, RetryOptions, c
from ._calls import lib
from ._handles import Handle, owned
from .joins import join_options
from .subworkflows import JoinStrategy

_SESSION_POLICIES = {"pickle_or_error": 0, "pickle_or_serialize": 1, "warn_drop": 2, "hard_error": 3}
_SESSION_ON_PAUSE = {"keep": 0, "clear": 1}
_UNHANDLED = {"fail": 0, "ignore": 1, "stream": 2}
_ABANDONED = {"keeps_permit": 0, "frees_permit": 1}
_IDLE = {"fail": 0, "wait": 1}
_LIMITS = {
    "queued_events": 1,
    "state_bytes": 2,
    "session_bytes": 3,
    "stream_items": 4,
    "subscribers": 5,
    "step_sends": 6,
    "stream_retained": 7,
    "questions": 8,
    "scopes": 9,
    "scope_depth": 10,
    "child_depth": 11,
    "children": 12,
}
_DRAW = {"mermaid": 1, "dot": 2}
_NO_DROP = DROP_FN()


@dataclass(frozen=True)
class Retry:
    """When a step that failed is tried again. Times are in seconds. Ctrl-C, or sys.exit() in it, is never tried again.

    max_attempts   with the first one
    initial_delay  before the second; each further one is `multiplier` times as long, at most max_delay
    jitter         up to this share of a delay, from 0 to 1, is taken off
    only           the host codes (attribute host_code of an exception) that are tried again; None: every failure
    never          the host codes that are not
    """

    max_attempts: int
    initial_delay: float = 0.0
    multiplier: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.0
    only: Optional[Sequence[int]] = None
    never: Sequence[int] = ()

    def options(self):
        """As blazen_retry_options."""
        only = None if self.only is None else _codes("only", self.only)
        never = _codes("never", [*self.never, _interrupts.HOST_CODE])
        return RetryOptions(
            max_attempts=whole("max_attempts", self.max_attempts, 32, least=1),
            jitter_percent=percent("jitter", self.jitter),
            initial_delay_ms=milliseconds("initial_delay", self.initial_delay),
            multiplier=real("multiplier", self.multiplier),
            max_delay_ms=milliseconds("max_delay", self.max_delay),
            only=only,
            only_count=len(only or ()),
            never=never,
            never_count=len(never),
        )


def _codes(name, given):
    codes = [whole(name, code, 63, least=-(2**63)) for code in given]
    return (ctypes.c_int64 * len(codes))(*codes)


class AnyWorkflow:
    """What runs share: a Workflow, or a Pipeline. It has a name, and the handle of what was built as `pointer`."""

    @property
    def fingerprint(self):
        """16 hexadecimal digits over the steps: equal in all processes that share a run."""
        return _read.text(c.workflow_fingerprint, self.pointer)

    def describe(self):
        """What it is, as a dict: its steps, policies and limits, as blazen_workflow_describe has them."""
        with owned(lib.workflow_describe(self.pointer), c.value_release) as value:
            return _read.value(value)

    def draw(self, format="mermaid"):
        """A drawing of it, as text: "mermaid" (a flowchart that Markdown shows) or "dot" (for Graphviz)."""
        with owned(lib.workflow_draw(self.pointer, choice("format", format, _DRAW)), c.value_release) as value:
            return _read.value(value).decode()


class Workflow(AnyWorkflow):
    """Steps are added until build(); runs may share what was built.

    unhandled             what becomes of an event that no step accepts: "fail", "ignore" or "stream"
    idle                  what becomes of a run that can make no progress: "fail" or "wait"
    timeout               how many seconds a run may take, pauses and waiting for a human not counted; None: for ever
    session_pause_policy  what a snapshot does with the session: "pickle_or_error", "pickle_or_serialize" (what does not
                          pickle is dropped), "warn_drop" (all is dropped) or "hard_error"
    session_on_pause      what run.pause() does with it: "keep" or "clear"
    limits                bounds of each run, as a dict: queued_events, state_bytes, session_bytes, stream_items,
                          stream_retained, subscribers, step_sends, questions, scopes, scope_depth, child_depth,
                          children; the defaults are in blazen.h
    """

    def __init__(
        self,
        name,
        *,
        unhandled="fail",
        idle="fail",
        timeout=300.0,
        session_pause_policy="pickle_or_error",
        session_on_pause="keep",
        limits=None,
    ):
        self._builder = Handle(lib.workflow_builder_create(*text("name", name)), c.workflow_builder_release)
        self._built = None
        self._kept = []  # bodies of other languages, and workflows that are steps
        self.name = name
        builder = self._builder.pointer
        lib.workflow_builder_set_unhandled(builder, choice("unhandled", unhandled, _UNHANDLED))
        lib.workflow_builder_set_idle(builder, choice("idle", idle, _IDLE))
        lib.workflow_builder_set_timeout(builder, milliseconds_or_0("timeout", timeout))
        policy = session_policy(session_pause_policy)
        lib.workflow_builder_set_session_policy(builder, policy)
        on_pause = choice("session_on_pause", session_on_pause, _SESSION_ON_PAUSE)
        lib.workflow_builder_set_session_on_pause(builder, on_pause)
        for limit in limits_of(limits):
            lib.workflow_builder_set_limit(builder, *limit)

    def step(self, *, accepts, name=None, **options):
        """Makes a function (ctx, event) a step. It returns None, an Event or a list of Events, or calls ctx.defer().
        An `async def` is a step of runs on a blazen.aio.Runtime.

        accepts          the event type that starts it, or several
        name             the function's own, unless given
        max_concurrency  how many of it run at once in one run; 0: any number
        emits            the event types that it emits, if they should be checked
        timeout          how many seconds an attempt may take; None: for ever
        abandoned        what a body beyond its time is to the others: it "keeps_permit", one of max_concurrency, until it
                         returns; or "frees_permit"
        retries          a Retry: when it is tried again
        atomic           what it writes and sends is held back until it completes, and discarded when it fails
        joins            a Join, or the name of a step: it is called with what has come of one invocation of that step,
                         which is ctx.events; the event that it gets is the last of them, or an EMPTY_JOIN_EVENT
        pool             the name of a pool of the runtime (Runtime.set_pool), of which each body of it takes a permit
        """

        def register(function):
            if not callable(function):
                raise TypeError(f"a step is a function, not {function!r}")

            def body():  # is kept when all else is checked: from then on it is the library's to drop
                return call_body, _objects.keep(body_of(function)), _objects.drop

            self._add(lib.workflow_builder_add_step, name or getattr(function, "__name__", None), accepts, body, **options)
            return function

        return register

    def elsewhere(self, name, *, accepts, **options):
        """A step whose body is in another process, or another language. The options are those of step()."""
        self._add(lib.workflow_builder_add_elsewhere, name, accepts, tuple, **options)

    def native(self, name, body, *, accepts, **options):
        """A step in C, or any language that makes a blazen_step_fn: body is a function of a ctypes library."""
        self._kept.append(body)
        call = (ctypes.cast(body, STEP_FN), None, _NO_DROP)
        self._add(lib.workflow_builder_add_step, name, accepts, lambda: call, **options)

    def subworkflow(self, name, inner, *, accepts, emits=None, input=None, output=None, **options):
        """A step that is a workflow: each call of it hosts a run of inner, which is a part of the run. See
        blazen.subworkflows. The further options are max_concurrency, timeout, retries and joins, as of step(): a retry
        begins another run of inner, and a time-out is by the clock of that.

        inner    the Workflow, which is built now; this one itself, or None: the workflow that is being built. One in
                 another process is a step elsewhere()
        accepts  the event type that starts it, or several; where nothing is mapped, its value is the input
        emits    the type of the event whose value is the result; None: "<name>::output"
        input    a function (event) or (ctx, event): what it returns is the input of inner
        output   a function (result) or (ctx, result): what it returns is the value of the event; or it returns an Event,
                 or a list of some, in place of that event
        """
        pointer = self._pointer_of("inner", inner)
        more = subworkflows.Options(emits, input, output)
        self._add_inner(lib.workflow_builder_add_workflow, name, accepts, [inner], lambda: (pointer, more.made()), options)

    def subworkflows(
        self,
        name,
        branches,
        *,
        accepts,
        emits=None,
        input=None,
        output=None,
        join_strategy=JoinStrategy.WaitAll,
        **options,
    ):
        """A step that is several workflows at once, each with the same input. The rest is as of subworkflow(): retries,
        timeout and max_concurrency hold for each branch.

        branches       {name: its workflow}, each as inner is there; or blazen.ELSEWHERE
        join_strategy  JoinStrategy.WaitAll: the result is a dict of the results by branch, of plain data unless there is
                       an output; the first branch that fails for good cancels the others, and fails the step.
                       JoinStrategy.FirstCompletes: the result is that of the first that succeeds; the others are
                       cancelled, and a failure counts only where all fail
        output         gets the results as a dict by branch; of the first that has succeeded, with that alone
        """
        if not isinstance(branches, Mapping):
            raise TypeError(f"branches is a dict of workflows by the names of their branches, not {branches!r}")
        more = subworkflows.Options.of_several(emits, input, output, join_strategy)
        self._add_branches(name, accepts, branches.items(), more, options)

    def add_subworkflow_step(self, name, accepts, emits, inner, timeout_secs=None, retry=None):
        """subworkflow() by the name, and in the order, that other languages have it."""
        self.subworkflow(name, inner, accepts=accepts, emits=emits, timeout=timeout_secs, retries=retry)

    def add_parallel_subworkflows(
        self, name, accepts, emits, branch_specs, branch_workflows, join_strategy=JoinStrategy.WaitAll
    ):
        """subworkflows() by the name, and in the order, that other languages have it: branch_specs are the names of the
        branches, or {"name": ...} of each; branch_workflows, their workflows in the same order."""
        pairs = subworkflows.pairs_of(branch_specs, branch_workflows)
        self._add_branches(name, accepts, pairs, subworkflows.Options.of_several(emits, None, None, join_strategy), {})

    def _add_branches(self, name, accepts, pairs, more, options):
        array, count = subworkflows.branches(pairs, self._pointer_of)
        workflows = [workflow for _, workflow in pairs]
        self._add_inner(
            lib.workflow_builder_add_workflows, name, accepts, workflows, lambda: (array, count, more.made()), options
        )

    def _add_inner(self, function, name, accepts, workflows, arguments, options):
        step, first, told = self._checked(name, accepts, **options)
        function(*step, *first, *arguments())
        self._kept += [workflow for workflow in workflows if workflow is not self]
        _tell(step, told)

    def _pointer_of(self, what, inner):
        """The handle of a workflow that is a step here; None: the one that is being built."""
        if inner is None or inner is self:
            return None
        return pointer_of(what, inner, "a Workflow, or None: the one that is being built")

    def _add(self, function, name, accepts, body, emits=(), abandoned="keeps_permit", atomic=False, pool=None, **options):
        step, first, told = self._checked(name, accepts, **options)
        told += [(lib.workflow_builder_step_emits, given) for given in texts("emits", emits)]
        told += [(lib.workflow_builder_step_abandoned, [choice("abandoned", abandoned, _ABANDONED)])]
        told += [(lib.workflow_builder_step_atomic, [flag("atomic", atomic)])]
        if pool is not None:
            told += [(lib.workflow_builder_step_uses_pool, text("pool", pool))]
        function(*step, *first, *body())
        _tell(step, told)

    def _checked(self, name, accepts, max_concurrency=0, timeout=None, retries=None, joins=None):
        """A step to be added: the arguments that name it, the first type that it accepts, and what is told of it then, as
        (call, further arguments)."""
        if self._built is not None:
            raise errors.BlazenError(f"workflow {self.name!r} is built already", errors.Status.WRONG_STATE)
        accepted = texts("accepts", accepts)
        if not accepted:
            raise ValueError("accepts names no event type")
        retry = retry_options(retries)
        told = [(lib.workflow_builder_step_accepts, more) for more in accepted[1:]]
        told += [(lib.workflow_builder_step_max_concurrency, [whole("max_concurrency", max_concurrency, 32)])]
        told += [(lib.workflow_builder_step_timeout, [milliseconds_or_0("timeout", timeout)])]
        if retry is not None:
            told += [(lib.workflow_builder_step_retry, [retry])]
        if joins is not None:
            told += [(lib.workflow_builder_step_joins, [join_options(joins)])]
        return (self._builder.pointer, *text("name", name)), accepted[0], told

    def build(self):
        """Checks the workflow, and builds it: once, here or when it is run first. Answers itself."""
        if self._built is None:
            self._built = Handle(lib.workflow_builder_build(self._builder.pointer), c.workflow_release)
            self._builder = None
        return self

    @property
    def pointer(self):
        return self.build()._built.pointer


def limits_of(given):
    """Pairs of a blazen_limit and its bound."""
    return [
        (choice("limits", limit, _LIMITS), whole(f"limits[{limit!r}]", bound, 64)) for limit, bound in (given or {}).items()
    ]


def session_policy(given):
    """As blazen_session_policy."""
    return choice("session_pause_policy", given, _SESSION_POLICIES)


def retry_options(given):
    """A Retry as blazen_retry_options; None: there is none."""
    if given is not None and not isinstance(given, Retry):
        raise TypeError(f"retries is a Retry, not {given!r}")
    return None if given is None else given.options()


def pointer_of(what, workflow, kind="a Workflow"):
    """The handle of what is a workflow, or a pipeline; `what` names the argument."""
    if not isinstance(workflow, AnyWorkflow):
        raise TypeError(f"{what} is {kind}, not {workflow!r}")
    return workflow.pointer


def _tell(step, told):
    for call, arguments in told:
        call(*step, *arguments)
