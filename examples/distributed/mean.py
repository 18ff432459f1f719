"""Each process has numbers of its own; the mean of all is worked out together."""

import sys

import torch
import torch.distributed as dist

count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
dist.init_process_group("gloo")
rank, processes = dist.get_rank(), dist.get_world_size()
total = torch.arange(rank * count, (rank + 1) * count, dtype=torch.float64).sum()
dist.all_reduce(total)
if rank == 0:
    print(f"the mean of 0 … {processes * count - 1} is {total.item() / (processes * count)} ({processes} processes)")
dist.destroy_process_group()
