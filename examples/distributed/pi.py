"""Counts the darts that fall into a quarter of a circle, on all machines of the cluster."""

import random
import sys

import ray


@ray.remote
def throw(darts: int) -> tuple[str, int]:
    inside = sum(random.random() ** 2 + random.random() ** 2 < 1 for _ in range(darts))
    return ray.util.get_node_ip_address(), inside


rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
ray.init()  # finds the cluster by RAY_ADDRESS
found = ray.get([throw.remote(100_000) for _ in range(rounds)])
machines = sorted({machine for machine, _ in found})
print(
    f"pi is about {4 * sum(inside for _, inside in found) / (rounds * 100_000):.3f}, says {len(machines)} of {len(ray.nodes())} nodes"
)
