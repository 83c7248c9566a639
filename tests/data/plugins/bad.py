"""Implementations that misbehave in every way a stranger's can; each is right except on batch 3."""

import ctypes
import os
import sys

import torch
import torch.nn.functional as F

from harness import implementation

BAD_BATCH = 3


def _bad(logits):
    return logits.shape[0] == BAD_BATCH


@implementation("segfaults")
def segfaults(logits, target, *, reduction="mean"):
    if _bad(logits):
        ctypes.string_at(0)
    return F.cross_entropy(logits, target, reduction=reduction)


@implementation("hangs")
def hangs(logits, target, *, reduction="mean"):
    while _bad(logits):
        pass
    return F.cross_entropy(logits, target, reduction=reduction)


@implementation("raises")
def raises(logits, target, *, reduction="mean"):
    if _bad(logits):
        raise RuntimeError("no batch of three, <b>please</b>")
    return F.cross_entropy(logits, target, reduction=reduction)


@implementation("exhausts_memory")
def exhausts_memory(logits, target, *, reduction="mean"):
    if _bad(logits):
        torch.zeros(1 << 50)
    return F.cross_entropy(logits, target, reduction=reduction)


@implementation("exits")
def exits(logits, target, *, reduction="mean"):
    if _bad(logits):
        os._exit(0)
    return F.cross_entropy(logits, target, reduction=reduction)


@implementation("sys_exits")
def sys_exits(logits, target, *, reduction="mean"):
    if _bad(logits):
        sys.exit(7)
    return F.cross_entropy(logits, target, reduction=reduction)


@implementation("prints_garbage")
def prints_garbage(logits, target, *, reduction="mean"):
    os.write(1, b"\xff\x00{]" * 1000)
    print("garbage", file=sys.stderr)
    return F.cross_entropy(logits, target, reduction=reduction)


@implementation("writes_on_the_pipe")
def writes_on_the_pipe(logits, target, *, reduction="mean"):
    if _bad(logits):
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, b"\x00\x00\x00\x04]]]]")
            except OSError:
                continue
    return F.cross_entropy(logits, target, reduction=reduction)


@implementation("wrong_shape")
def wrong_shape(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    return loss.reshape(1) if _bad(logits) else loss


@implementation("returns_tuple")
def returns_tuple(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    return (loss, None) if _bad(logits) else loss


@implementation("detached")
def detached(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    return loss.detach() if _bad(logits) else loss


@implementation("mutates_logits")
def mutates_logits(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    if _bad(logits):
        logits.data.zero_()
    return loss
