"""The network that machines are put in, and who may come in: found or made, once."""

from __future__ import annotations

import pytest

from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.network import Network
from dstack_cloud.backends.gcp.resources.operations import Operations
from dstack_cloud.errors import InvalidConfiguration, NotAuthorized
from tests.fakes.gcp import PROJECT, REGION, GoogleCloud

pytestmark = pytest.mark.google


def network(config: GcpConfig, **settings: object) -> Network:
    client = GcpClient(config.model_copy(update=settings))
    return Network(client, Operations(client), "dstack-me")


def rule(config: GcpConfig, name: str) -> object:
    return GcpClient(config).firewalls().get(request={"project": PROJECT, "firewall": name})


def make_network(config: GcpConfig, name: str, subnet: str = "") -> None:
    """One of custom mode, with a subnet in the region or none."""
    from google.cloud import compute_v1

    client = GcpClient(config)
    networks = compute_v1.NetworksClient(
        transport=compute_v1.NetworksClient.get_transport_class("rest")(
            credentials=client.login().credentials, host=config.endpoint
        )
    )
    made = networks.insert_unary(
        request={"project": PROJECT, "network_resource": {"name": name, "auto_create_subnetworks": False}}
    )
    Operations(client).wait(made, name, 10.0)
    if subnet:
        place = f"projects/{PROJECT}/global/networks/{name}"
        wanted = {"name": subnet, "network": place, "ip_cidr_range": "10.9.0.0/24"}
        asked = {"project": PROJECT, "region": REGION, "subnetwork_resource": wanted}
        client.subnetworks().insert_unary(request=asked)


def test_the_default_networks_subnet_and_all_zones_of_a_region(config: GcpConfig) -> None:
    found = network(config).region(REGION)
    assert found.subnet == f"projects/{PROJECT}/regions/{REGION}/subnetworks/default"
    assert found.zones == tuple(f"{REGION}-{letter}" for letter in "abcf")


def test_ones_own_network(config: GcpConfig) -> None:
    make_network(config, "mine", "inside")
    assert network(config, network="mine").region(REGION).subnet.endswith("/subnetworks/inside")
    with pytest.raises(InvalidConfiguration, match="no subnet other of the network mine"):
        network(config, network="mine", subnet="other").region(REGION)


def test_a_network_that_has_no_subnet_there(config: GcpConfig) -> None:
    with pytest.raises(InvalidConfiguration, match="no subnet of the network nope") as caught:
        network(config, network="nope").region(REGION)
    assert caught.value.hint and "gcloud compute networks create nope" in caught.value.hint
    assert caught.value.scope == "region"


def test_one_rule_that_opens_ssh_to_the_named_networks_only(config: GcpConfig, google: GoogleCloud) -> None:
    here = network(config, ssh_from=("10.1.0.0/16", "192.0.2.7/32"))
    tag = here.ssh_tag()
    assert here.ssh_tag() == network(config, ssh_from=("10.1.0.0/16", "192.0.2.7/32")).ssh_tag() == tag
    found = rule(config, tag)
    assert set(found.source_ranges) == {"10.1.0.0/16", "192.0.2.7/32"} and list(found.target_tags) == [tag]
    assert [(each.I_p_protocol, list(each.ports)) for each in found.allowed] == [("tcp", ["22"])]
    assert google.calls("firewalls.insert") == 1


def test_by_default_only_this_computer_may_come_and_an_earlier_address_is_closed(config: GcpConfig) -> None:
    here = network(config)
    tag = here.ssh_tag()
    (now,) = rule(config, tag).source_ranges
    assert now.endswith("/32") and not now.startswith("0.")
    here._own._known = (here._own._known[0], "192.0.2.1/32")
    here.let_in()
    assert list(rule(config, tag).source_ranges) == ["192.0.2.1/32"]
    network(config).ssh_tag()
    assert list(rule(config, tag).source_ranges) == [now]


def test_machines_that_work_together_reach_each_other_and_nobody_else_does(config: GcpConfig) -> None:
    tag = network(config).nodes_tag()
    found = rule(config, tag)
    assert list(found.source_tags) == list(found.target_tags) == [tag] and not found.source_ranges
    assert found.allowed[0].I_p_protocol == "all"


def test_a_rule_that_may_not_be_made(config: GcpConfig, google: GoogleCloud) -> None:
    words = "Required 'compute.firewalls.create' permission for 'projects/p/global/firewalls/x'"
    google.fail("firewalls.insert", "forbidden", message=words)
    with pytest.raises(NotAuthorized, match=r"compute.firewalls.create is missing"):
        network(config).ssh_tag()
