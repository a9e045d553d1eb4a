/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that reads a capture: packets of port 25 out of pcap and pcapng, in batches. The records of
 * plain pcap are taken apart where they were read, without a copy; everything else is libpcap's. */
#pragma once

#include "batches.h"
#include "enforcer/inspect/link.h"

#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The thread's own, until it is joined. */
struct capture_reader {
    struct batches *batches; /* the caller's */
    FILE *stream;
    pcap_t *pcap; /* of the whole stream; NULL: plain records, see below */
    enum enf_link link;
    bool swapped;     /* the records' byte order is not ours */
    bool nanoseconds; /* of their times */
    uint32_t snaplen;
    uint64_t packets;
    uint64_t undecodable;
    uint64_t port25_packets;
    uint64_t port25_syns;
    bool damaged; /* why the end came early: error, or nothing where the stream itself has the reason */
    char error[PCAP_ERRBUF_SIZE];
};

/* Reads the header. False, with a text in error and the stream closed, where it is no capture. A link type
 * that is not read is told in error as well; its packets are counted. */
bool capture_reader_open(struct capture_reader *reader, FILE *stream, char *error, size_t error_len);
/* The thread: reads all, closes the batches. arg: the reader. */
void *capture_reader_run(void *arg);
/* Closes the stream too. */
void capture_reader_close(struct capture_reader *reader);
