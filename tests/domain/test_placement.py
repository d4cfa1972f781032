"""Targets: every condition that is given must match."""

from hypothesis import given
from hypothesis import strategies as st

from qb.domain.placement import Target, Traits, matches

NODE = Traits("n-1", "client-acme-7", {"region": "eu", "gpu": "no"}, frozenset({"podman", "browser"}), limits=False)


def test_no_condition_matches_every_node() -> None:
    assert matches(Target.of(), NODE)


def test_each_condition_alone_decides() -> None:
    assert matches(Target.of(node_id="n-1"), NODE)
    assert not matches(Target.of(node_id="n-2"), NODE)
    assert matches(Target.of(node_name="client-acme-*"), NODE)
    assert not matches(Target.of(node_name="client-Acme-*"), NODE), "names are case-sensitive"
    assert matches(Target.of(tags={"region": "eu"}), NODE)
    assert not matches(Target.of(tags={"region": "eu", "gpu": "yes"}), NODE), "every pair must match"
    assert matches(Target.of(capabilities=["browser"]), NODE)
    assert not matches(Target.of(capabilities=["browser", "cuda"]), NODE)
    assert not matches(Target.of(needs_limits=True), NODE), "without cgroups podman would ignore the limits"


def test_conditions_are_joined_by_and() -> None:
    assert matches(Target.of(node_name="client-*", tags={"region": "eu"}), NODE)
    assert not matches(Target.of(node_name="client-*", tags={"region": "us"}), NODE)


def test_a_name_without_wildcards_is_exact() -> None:
    assert Target.of(node_name="box").exact_name == "box"
    assert Target.of(node_name="box-?").exact_name is None


@given(
    st.one_of(st.none(), st.text(max_size=5)),
    st.one_of(st.none(), st.text(max_size=5)),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    st.lists(st.text(max_size=3), max_size=3),
    st.booleans(),
)
def test_a_target_survives_its_key_and_order_does_not_matter(
    node_id: str | None, name: str | None, tags: dict[str, str], capabilities: list[str], limits: bool
) -> None:
    def make(reverse: bool) -> Target:
        pairs = list(tags.items())
        return Target.of(
            node_id=node_id,
            node_name=name,
            tags=dict(reversed(pairs) if reverse else pairs),
            capabilities=list(reversed(capabilities)) if reverse else capabilities,
            needs_limits=limits,
        )

    assert make(False).key == make(True).key
    assert Target.from_key(make(False).key) == make(False)
