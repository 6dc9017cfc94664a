"""Distributed training: several workers train one model.

Read `process_group` (the interface, and its single-process form), then `ddp_fsdp` (torch's DDP and FSDP2) and
`dtensor` (sharded weights). `ray` starts workers on a Ray cluster, `ray_worker` runs in each of them.
"""
