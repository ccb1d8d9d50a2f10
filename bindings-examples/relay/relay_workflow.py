"""The pipeline of the relay, as every process in Python builds it; relay_workflow.c is the same for those in C.

Two stages: the analysis of the texts, and the digest of what that has found. All processes add the same stages, and in them
the same steps in the same order: so their workflows have the same fingerprints. And all say what `finish` joins, also those
that have it elsewhere: what arrives for it while they have the run is collected there and then.
"""

from blazen import PipelineBuilder, Retry, Stage, StartEvent, Workflow, elsewhere, step

ENDS = ["relay::Analysed", "relay::Checked", "relay::Shelved", "relay::Titled", "relay::Registered"]
ANALYSIS = (  # name, accepts, max_concurrency
    ("read", [StartEvent], 0),  # C: files into parts
    ("survey", ["relay::TextsRead"], 0),  # Python: all parts into a vocabulary
    ("analyse", ["relay::Part"], 4),  # Python: a part into notes
    ("check", ["relay::Part"], 0),  # C: is a part as it was read?
    ("carry", ["relay::VocabularyMade"], 0),  # C: the vocabulary into an event,
    ("shelve", ["relay::VocabularyCarried"], 0),  # C: and back into the state
    ("title", ["relay::TextsRead"], 0),  # Python: asks a human what to call the digest
    ("register", ["relay::TextsRead"], 0),  # Python: enters it in a register, whose line is busy at first
    ("finish", ENDS, 0),  # Python: puts together all that has come of the reading
)
DIGEST = (("compose", [StartEvent], 0),)  # Python: for people
JOINS = {"finish": "read"}  # it is called once, when nothing is left: nobody counts
ANALYSE_CONCURRENCY = dict((name, limit) for name, _, limit in ANALYSIS)["analyse"]
RETRIES = {"register": Retry(3, initial_delay=0.15)}  # for whoever has the body


def build(bodies, input_handler=None):
    """The pipeline with these bodies, {step: function}; the other steps are elsewhere."""
    pipeline = PipelineBuilder("relay", input_handler=input_handler)
    for name, steps in (("analysis", ANALYSIS), ("digest", DIGEST)):
        pipeline.stage(Stage(name, Workflow(name, [_step(bodies, *each) for each in steps], timeout=None)))
    return pipeline.build()


def _step(bodies, name, accepts, limit):
    options = {"accepts": accepts, "max_concurrency": limit, "joins": JOINS.get(name)}
    if name not in bodies:
        return elsewhere(name, **options)
    return step(name=name, retries=RETRIES.get(name), **options)(bodies[name])
