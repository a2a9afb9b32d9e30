import json
import random

from mirim.examples import calls
from mirim.examples.tasks import tools


def test_a_call_names_a_listed_function_and_takes_its_values_from_the_request():
    fit = unfit = 0
    for example in calls.make(300, 1):
        system, request, said = (m.content for m in example.messages)
        listed = [json.loads(line) for line in system.splitlines() if line.startswith("{")]
        if said in tools.NONE.values():
            unfit += 1
            continue
        fit += 1
        called = json.loads(said.removeprefix(tools.MARK).removesuffix(tools.CLOSE))
        (function,) = [f for f in listed if f["name"] == called["name"]]
        assert list(called["arguments"]) == function["parameters"]["required"]
        assert all(str(value) in request for value in called["arguments"].values())
    assert 0.2 < unfit / (fit + unfit) < 0.4


def test_requests_come_in_both_languages_and_in_the_same_order_for_a_seed():
    one, two = list(calls.make(20, 3)), list(calls.make(20, 3))
    assert [e.id for e in one] == [e.id for e in two]
    assert {e.metadata["language"] for e in one} == {"en", "pt"}


def test_no_function_is_named_twice_in_a_list():
    rng = random.Random(0)
    for _ in range(200):
        system = calls.order("en", rng).messages[0].content
        names = [json.loads(line)["name"] for line in system.splitlines() if line.startswith("{")]
        assert len(names) == len(set(names))
