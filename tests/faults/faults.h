/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page that a test and the library in the tested process share: the test says what is to fail, the
 * library counts. tests/lab/faults.py knows the same layout. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define FAULTS_FRAMES 20
#define FAULTS_STACKS 16384
#define FAULTS_NAME   32
#define FAULTS_WHERE  2048

enum faults_alloc_mode {
    FAULTS_ALLOC_OFF,
    FAULTS_ALLOC_RECORD, /* notes each place that allocates */
    FAULTS_ALLOC_PLACE,  /* the first allocation at the place `target` fails */
    FAULTS_ALLOC_NUMBER, /* allocations number `target` to `last` fail, counted since this was set */
};

/* A place: the stack of return addresses of an allocation. The address space is not randomized meanwhile. */
struct faults_place {
    uint64_t hash;
    uint64_t count;
    uint64_t spared;         /* never fails: see spared() */
    char owner[FAULTS_NAME]; /* the first file on the stack that is no C library */
};

struct faults_page {
    _Atomic uint64_t alloc_mode;
    _Atomic uint64_t alloc_target;
    _Atomic uint64_t alloc_last;
    _Atomic uint64_t alloc_thread; /* only this thread; 0: all */
    _Atomic uint64_t alloc_count;
    _Atomic uint64_t alloc_failed;
    _Atomic uint64_t net_every; /* every n-th call on a netlink socket fails; 0: none */
    _Atomic uint64_t net_what;  /* bit 0: sending, bit 1: receiving */
    _Atomic uint64_t net_errno; /* 0: a short message instead, half of it */
    _Atomic uint64_t net_count;
    _Atomic uint64_t net_failed;
    _Atomic uint64_t net_shaken; /* not 0: each dump of rules is marked as interrupted by somebody's change */
    _Atomic int64_t clock_ns;    /* added to the wall clock */
    _Atomic uint64_t clock_reads;
    _Atomic uint64_t places_len;
    char where[FAULTS_WHERE]; /* the stack that failed last */
    struct faults_place places[FAULTS_STACKS];
};

/* NULL without the environment variable FAULTS_PAGE, the path of the file. */
struct faults_page *faults_page(void);
