"""Virtual networks, security groups, network interfaces and public addresses.

https://learn.microsoft.com/en-us/rest/api/virtualnetwork/
"""

from __future__ import annotations

import ipaddress
import time
import uuid
from collections.abc import Iterator

from tests.fakes.azure.arm import Service
from tests.fakes.azure.calls import Json, Refusal
from tests.fakes.azure.children import Child
from tests.fakes.azure.kinds import Kind, missing_reference
from tests.fakes.azure.world import Resource, World

# https://learn.microsoft.com/en-us/azure/virtual-network/network-security-groups-overview#security-rules
PRIORITIES = range(100, 4097)


def _etagged(resource: Resource) -> None:
    resource.body["etag"] = f'W/"{uuid.uuid4()}"'
    resource.properties.setdefault("resourceGuid", str(uuid.uuid4()))


def _prepare_network(world: World, network: Resource) -> None:
    spaces = (network.properties.get("addressSpace") or {}).get("addressPrefixes")
    if not spaces:
        raise Refusal("InvalidRequestFormat", "Cannot parse the request: addressSpace.addressPrefixes is required.")
    for subnet in network.properties.setdefault("subnets", []):
        prepare_subnet(network, subnet)
    _etagged(network)


def prepare_subnet(network: Resource, subnet: Json) -> None:
    properties = subnet.setdefault("properties", {})
    if not subnet.get("name"):
        raise Refusal("InvalidRequestFormat", "Cannot parse the request: a subnet needs a name.")
    prefixes = properties.get("addressPrefixes") or [properties.get("addressPrefix")]
    spaces = [ipaddress.ip_network(each) for each in network.properties["addressSpace"]["addressPrefixes"]]
    for prefix in prefixes:
        try:
            found = ipaddress.ip_network(prefix)
        except ValueError:
            why = f"The address prefix {prefix} in resource {network.id}/subnets/{subnet.get('name')} is not a valid CIDR."
            raise Refusal("InvalidAddressPrefixFormat", why) from None
        if not any(found.version == each.version and found.subnet_of(each) for each in spaces):  # type: ignore[arg-type]
            why = f"Subnet '{subnet.get('name')}' is not valid because its IP address range is outside the IP address range of virtual network '{network.name}'."
            raise Refusal("NetcfgSubnetRangeOutsideVnet", why)
    properties |= {"provisioningState": "Succeeded", "privateEndpointNetworkPolicies": "Disabled"}
    properties |= {"privateLinkServiceNetworkPolicies": "Enabled"}
    subnet["id"] = f"{network.id}/subnets/{subnet['name']}"


def _used_by(world: World, id: str) -> Iterator[Resource]:
    """The network interfaces that are in it, or under its rules."""
    for nic in world.of_type(NICS):
        group = (nic.properties.get("networkSecurityGroup") or {}).get("id", "")
        subnets = [each["properties"]["subnet"]["id"] for each in nic.properties["ipConfigurations"]]
        if any(f"{each.lower()}/".startswith(f"{id.lower()}/") for each in (group, *subnets)):
            yield nic


def _keep_network(world: World, network: Resource) -> None:
    for nic in _used_by(world, network.id):
        raise keep_subnet(nic, network.id)


def keep_subnet(nic: Resource, id: str) -> Refusal:
    why = f"Subnet of {id} is in use by {nic.id}/ipConfigurations/{nic.properties['ipConfigurations'][0]['name']} and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet."
    return Refusal("InUseSubnetCannotBeDeleted", why)


def _prepare_rules(world: World, group: Resource) -> None:
    taken: set[tuple[str, int]] = set()
    for rule in group.properties.setdefault("securityRules", []):
        prepare_rule(group, rule)
        place = rule["properties"]["direction"].lower(), rule["properties"]["priority"]
        if place in taken:
            why = f"Security rule {rule['name']} conflicts with another one. Rules cannot have the same Priority and Direction."
            raise Refusal("SecurityRuleConflict", why)
        taken.add(place)
    _etagged(group)


def prepare_rule(group: Resource, rule: Json) -> None:
    properties, name = rule.get("properties") or {}, rule.get("name")
    if properties.get("priority") not in PRIORITIES:
        why = (
            f"Security rule has invalid Priority. Value provided: {properties.get('priority')} Allowed range 100-4096."
        )
        raise Refusal("SecurityRuleInvalidPriority", why)
    ends = ("sourcePortRange", "destinationPortRange", "sourceAddressPrefix", "destinationAddressPrefix")
    for end in ends:
        many = f"{end}es" if end.endswith("Prefix") else f"{end}s"
        if not properties.get(end) and not properties.get(many):
            why = f"Required security rule parameters are missing for security rule with Id: {group.id}/securityRules/{name}. Security rule must specify either {many} or {end}."
            raise Refusal("SecurityRuleParameterNotSpecified", why)
    properties["provisioningState"] = "Succeeded"
    rule["id"] = f"{group.id}/securityRules/{name}"


def _keep_rules(world: World, group: Resource) -> None:
    for nic in _used_by(world, group.id):
        why = f"Network security group {group.id} cannot be deleted because it is in use by the following resources: {nic.id}. In order to delete the Network security group, remove the association with the resource(s)."
        raise Refusal("InUseNetworkSecurityGroupCannotBeDeleted", why)


def _prepare_address(world: World, address: Resource) -> None:
    sku = (address.body.get("sku") or {}).get("name", "Standard")
    if sku.lower() == "basic":
        # https://learn.microsoft.com/en-us/azure/virtual-network/ip-services/public-ip-basic-upgrade-guidance
        why = "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region."
        raise Refusal("IPv4BasicSkuPublicIpCountLimitReached", why)
    properties = address.properties
    if str(properties.setdefault("publicIPAllocationMethod", "Static")).lower() != "static":
        why = f"Standard sku publicIp {address.id} must have AllocationMethod set to Static."
        raise Refusal("StandardSkuPublicIPAddressesMustBeStatic", why)
    address.body["sku"] = {"name": "Standard", "tier": "Regional"}
    properties.setdefault("publicIPAddressVersion", "IPv4")
    properties.setdefault("idleTimeoutInMinutes", 4)
    properties.setdefault("ipAddress", f"203.0.113.{len(world.resources) % 254 + 1}")
    _etagged(address)


def _keep_address(world: World, address: Resource) -> None:
    if user := address.properties.get("ipConfiguration"):
        why = f"Public IP address {address.id} can not be deleted since it is still allocated to resource {user['id']}. In order to delete the public IP, disassociate/detach the Public IP address from the resource."
        raise Refusal("PublicIPAddressCannotBeDeleted", why)


def _prepare_interface(world: World, nic: Resource) -> None:
    configurations = nic.properties.get("ipConfigurations")
    if not configurations:
        why = f"Network interface {nic.id} must have at least one ip configuration."
        raise Refusal("NetworkInterfaceMustHaveAtLeastOneIpConfiguration", why)
    group = (nic.properties.get("networkSecurityGroup") or {}).get("id")
    if group and world.find(group) is None:
        raise missing_reference(group, nic.id)
    for index, configuration in enumerate(configurations):
        _prepare_configuration(world, nic, configuration, primary=index == 0)
    nic.properties.update({"primary": True, "macAddress": "00-0D-3A-00-00-00", "nicType": "Standard"})
    nic.properties.update({"enableAcceleratedNetworking": bool(nic.properties.get("enableAcceleratedNetworking"))})
    _etagged(nic)


def _prepare_configuration(world: World, nic: Resource, configuration: Json, *, primary: bool) -> None:
    properties = configuration.setdefault("properties", {})
    id = f"{nic.id}/ipConfigurations/{configuration.get('name')}"
    subnet = (properties.get("subnet") or {}).get("id", "")
    if find_subnet(world, subnet, nic.body["location"]) is None:
        raise missing_reference(subnet, nic.id)
    properties.setdefault("privateIPAllocationMethod", "Dynamic")
    properties.setdefault("privateIPAddress", f"10.0.{len(world.resources) // 254}.{len(world.resources) % 254 + 1}")
    properties |= {"primary": properties.get("primary", primary), "provisioningState": "Succeeded"}
    properties.setdefault("privateIPAddressVersion", "IPv4")
    configuration |= {"id": id, "type": f"{NICS}/ipConfigurations"}
    address = (properties.get("publicIPAddress") or {}).get("id")
    if address:
        found = world.find(address)
        if found is None:
            raise missing_reference(address, nic.id)
        user = (found.properties.get("ipConfiguration") or {}).get("id", id)
        if user.lower() != id.lower():
            why = f"Resource {id} is referencing public IP address {address} that is already allocated to resource {user}."
            raise Refusal("PublicIPAddressInUse", why)
        found.properties["ipConfiguration"] = {"id": id}
        option = (properties["publicIPAddress"].get("properties") or {}).get("deleteOption")
        if option:
            found.properties["deleteOption"] = option
        properties["publicIPAddress"] = {"id": found.id, **({"properties": {"deleteOption": option}} if option else {})}


def find_subnet(world: World, id: str, location: str) -> Json | None:
    """The subnet, where its network is in that location."""
    network = world.find(id.rpartition("/subnets/")[0])
    if network is None or network.type != NETWORKS or network.body["location"] != location:
        return None
    name = id.rpartition("/")[2].lower()
    return next((each for each in network.properties["subnets"] if each["name"].lower() == name), None)


def _keep_interface(world: World, nic: Resource) -> None:
    if user := nic.properties.get("virtualMachine"):
        why = f"Network Interface {nic.id} is used by existing resource {user['id']}. In order to delete the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic."
        raise Refusal("NicInUse", why)
    check_reserved(world, nic.id, "")


def check_reserved(world: World, nic: str, machine: str) -> None:
    """Raises Refusal while it is kept for another machine.

    https://learn.microsoft.com/en-us/azure/networking/troubleshoot-failed-state (the 180 seconds)
    """
    until, whose = world.reserved.get(nic.lower(), (0.0, ""))
    if time.monotonic() < until and whose.lower() != machine.lower():
        why = f"Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) or retry after 180 seconds. Reserved VM: {whose}"
        raise Refusal("NicReservedForAnotherVm", why)


def _free_addresses(world: World, nic: Resource) -> None:
    for address in _addresses(world, nic):
        address.properties.pop("ipConfiguration", None)


def _addresses(world: World, nic: Resource) -> list[Resource]:
    named = [each["properties"].get("publicIPAddress") or {} for each in nic.properties["ipConfigurations"]]
    return [found for each in named if (found := world.find(each.get("id", "/"))) is not None]


def remove_interface(world: World, nic: Resource) -> None:
    """As a machine does that goes: with those of its addresses that shall go with it; the others are free then."""
    _free_addresses(world, nic)
    for address in _addresses(world, nic):
        if address.properties.get("deleteOption") == "Delete":
            world.drop(address.id)
    world.drop(nic.id)


NETWORKS, GROUPS = "Microsoft.Network/virtualNetworks", "Microsoft.Network/networkSecurityGroups"
NICS, ADDRESSES = "Microsoft.Network/networkInterfaces", "Microsoft.Network/publicIPAddresses"
NIC_LASTING = ("resourceGuid", "virtualMachine")
ADDRESS_LASTING = ("resourceGuid", "ipAddress", "ipConfiguration")
NETWORK = Kind(NETWORKS, "virtual_networks", "network.VirtualNetwork", _prepare_network, _keep_network)
SECURITY = Kind(GROUPS, "network_security_groups", "network.NetworkSecurityGroup", _prepare_rules, _keep_rules)
INTERFACE = Kind(
    NICS,
    "network_interfaces",
    "network.NetworkInterface",
    _prepare_interface,
    _keep_interface,
    _free_addresses,
    lasting=NIC_LASTING,
)

ADDRESS = Kind(
    ADDRESSES,
    "public_ip_addresses",
    "network.PublicIPAddress",
    _prepare_address,
    _keep_address,
    lasting=ADDRESS_LASTING,
)
KINDS = (NETWORK, SECURITY, INTERFACE, ADDRESS)


def _keep_one_subnet(world: World, network: Resource, subnet: Json) -> None:
    for nic in _used_by(world, f"{network.id}/subnets/{subnet['name']}"):
        raise keep_subnet(nic, f"{network.id}/subnets/{subnet['name']}")


CHILDREN = (
    Child(NETWORK, "subnets", "subnets", "network.Subnet", prepare_subnet, _keep_one_subnet),
    Child(SECURITY, "security_rules", "securityRules", "network.SecurityRule", prepare_rule, lambda *_: None),
)
SERVICE = Service(
    {name: handler for each in (*KINDS, *CHILDREN) for name, handler in each.handlers().items()},
    {name: models for each in (*KINDS, *CHILDREN) for name, models in each.models().items()},
)
