/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records into packets. */
#include "capture_reader.h"

#include <byteswap.h>
#include <errno.h>
#include <string.h>

#define HEADER_LEN 24 /* of the file */
#define RECORD_LEN 16 /* of the header of a record: seconds, fraction, captured and original length */
#define READ_LEN   (256u << 10)
/* As libpcap bounds it for the link types that are read. */
#define CAPTURED_MAX 262144
_Static_assert(RECORD_LEN + CAPTURED_MAX + READ_LEN <= BATCH_BYTES, "a record fits, however it is cut");

#define MAGIC_MICRO 0xa1b2c3d4u
#define MAGIC_NANO  0xa1b23c4du

/* --- one packet --- */

/* Times are what the file says, and files say anything. */
static uint64_t time_of(int64_t seconds, int64_t micros)
{
    uint64_t whole = seconds > 0 ? (uint64_t)seconds : 0;
    return whole * 1000 + (micros >= 0 && micros < 1000000 ? (uint64_t)micros / 1000 : 0);
}

/* Cut short or malformed, a packet still counts for what of it is readable: so do filters and firewalls.
 * False where it is nothing for the one who judges. */
static bool read_packet(struct capture_reader *reader, const uint8_t *bytes, size_t len,
                        enum enf_packet_result *result, struct enf_packet *packet)
{
    size_t offset = 0;
    reader->packets++;
    switch (enf_link_find_ip(reader->link, bytes, len, &offset)) {
    case ENF_LINK_OK:
        break;
    case ENF_LINK_NOT_IP:
        reader->undecodable += reader->link == ENF_LINK_UNSUPPORTED;
        return false;
    case ENF_LINK_TRUNCATED:
    case ENF_LINK_MALFORMED:
        reader->undecodable++;
        return false;
    }
    *result = enf_packet_parse(bytes + offset, len - offset, packet);
    if (*result == ENF_PACKET_TRUNCATED || *result == ENF_PACKET_MALFORMED)
        reader->undecodable++;
    if (!enf_packet_is_smtp(packet))
        return false;
    reader->port25_packets++;
    bool syn = enf_packet_is_connection(packet);
    reader->port25_syns += syn;
    return syn || *result == ENF_PACKET_OK;
}

/* --- by libpcap --- */

static void read_by_libpcap(struct capture_reader *reader)
{
    struct pcap_pkthdr *header;
    struct enf_packet packet;
    enum enf_packet_result result;
    const u_char *bytes;
    int end;
    while ((end = pcap_next_ex(reader->pcap, &header, &bytes)) == 1)
        if (read_packet(reader, bytes, header->caplen, &result, &packet) &&
            !batches_put(reader->batches, result, &packet, time_of(header->ts.tv_sec, header->ts.tv_usec)))
            return;
    if (end == PCAP_ERROR) {
        reader->damaged = true;
        (void)snprintf(reader->error, sizeof(reader->error), "%s", pcap_geterr(reader->pcap));
    }
}

/* --- plain records, where they were read --- */

static uint32_t word_of(const struct capture_reader *reader, const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return reader->swapped ? bswap_32(word) : word;
}

/* One whole record into the batch. */
static void take_record(struct capture_reader *reader, struct batch *batch, const uint8_t *record,
                        uint32_t captured)
{
    struct batch_packet *put = &batch->packets[batch->len];
    if (captured > reader->snaplen)
        captured = reader->snaplen;
    if (!read_packet(reader, record + RECORD_LEN, captured, &put->result, &put->packet))
        return;
    int32_t fraction = (int32_t)word_of(reader, record + 4);
    put->time_ms =
        time_of((int32_t)word_of(reader, record), reader->nanoseconds ? fraction / 1000 : fraction);
    batch->len++;
}

static void note_damage(struct capture_reader *reader, const char *text)
{
    reader->damaged = true;
    (void)snprintf(reader->error, sizeof(reader->error), "%s", text);
}

/* Takes whole records from the front of what is in the batch; returns how many bytes that were. */
static size_t take_records(struct capture_reader *reader, struct batch *batch)
{
    size_t at = 0;
    while (batch->bytes_len - at >= RECORD_LEN && batch->len < BATCH_PACKETS) {
        uint32_t captured = word_of(reader, batch->bytes + at + 8);
        if (captured > CAPTURED_MAX) {
            note_damage(reader, "a packet is longer than any can be");
            break;
        }
        if (batch->bytes_len - at - RECORD_LEN < captured)
            break;
        take_record(reader, batch, batch->bytes + at, captured);
        at += RECORD_LEN + captured;
    }
    return at;
}

/* What is left over of a batch, a piece of a record as a rule, begins the next one. */
static void read_records(struct capture_reader *reader)
{
    struct batch *batch = batches_first(reader->batches);
    for (;;) {
        size_t room = BATCH_BYTES - batch->bytes_len;
        size_t n =
            fread(batch->bytes + batch->bytes_len, 1, room < READ_LEN ? room : READ_LEN, reader->stream);
        batch->bytes_len += n;
        bool at_end = n == 0;
        size_t taken = take_records(reader, batch);
        size_t left = batch->bytes_len - taken;
        if (reader->damaged || (at_end && batch->len < BATCH_PACKETS)) {
            bool failed = ferror(reader->stream) != 0;
            if (!reader->damaged && failed)
                note_damage(reader, "");
            else if (!reader->damaged && left > 0)
                note_damage(reader, "truncated: it ends in the middle of a packet");
            return;
        }
        struct batch *next = batches_turn(reader->batches);
        if (!next)
            return;
        memcpy(next->bytes, batch->bytes + taken, left);
        next->bytes_len = left;
        batch = next;
    }
}

/* --- the header --- */

/* libpcap reads the header, and knows link types. False where its records are not those that we read. */
static bool read_header(struct capture_reader *reader, const uint8_t header[HEADER_LEN], int *dlt)
{
    char error[PCAP_ERRBUF_SIZE];
    uint32_t magic;
    FILE *copy = fmemopen((void *)(uintptr_t)header, HEADER_LEN, "r");
    pcap_t *pcap = copy ? pcap_fopen_offline(copy, error) : NULL;
    if (!pcap) {
        if (copy)
            (void)fclose(copy);
        return false;
    }
    *dlt = pcap_datalink(pcap);
    reader->swapped = pcap_is_swapped(pcap) != 0;
    reader->snaplen = pcap_snapshot(pcap) > 0 ? (uint32_t)pcap_snapshot(pcap) : CAPTURED_MAX;
    magic = word_of(reader, header);
    reader->nanoseconds = magic == MAGIC_NANO;
    bool plain = (magic == MAGIC_MICRO || magic == MAGIC_NANO) && pcap_major_version(pcap) == 2 &&
                 pcap_minor_version(pcap) == 4 && enf_link_from_dlt(*dlt) != ENF_LINK_UNSUPPORTED;
    pcap_close(pcap);
    return plain;
}

bool capture_reader_open(struct capture_reader *reader, FILE *stream, char *error, size_t error_len)
{
    char pcap_error[PCAP_ERRBUF_SIZE] = "";
    uint8_t header[HEADER_LEN];
    int dlt = 0;
    *reader = (struct capture_reader){.stream = stream};
    size_t len = fread(header, 1, sizeof(header), stream);
    if (len < sizeof(header) || !read_header(reader, header, &dlt)) {
        while (len > 0) /* they are still in the stream's buffer */
            (void)ungetc(header[--len], stream);
        reader->pcap = pcap_fopen_offline(stream, pcap_error);
        if (!reader->pcap) {
            (void)fclose(stream);
            (void)snprintf(error, error_len, "%s", pcap_error);
            return false;
        }
        dlt = pcap_datalink(reader->pcap);
    }
    reader->link = enf_link_from_dlt(dlt);
    if (reader->link == ENF_LINK_UNSUPPORTED) {
        const char *name = pcap_datalink_val_to_name(dlt);
        (void)snprintf(error, error_len, "link type %d (%s) is not read", dlt, name ? name : "unknown");
    }
    return true;
}

void *capture_reader_run(void *arg)
{
    struct capture_reader *reader = arg;
    if (reader->pcap)
        read_by_libpcap(reader);
    else
        read_records(reader);
    batches_close(reader->batches);
    return NULL;
}

void capture_reader_close(struct capture_reader *reader)
{
    if (reader->pcap)
        pcap_close(reader->pcap);
    else
        (void)fclose(reader->stream);
    reader->pcap = NULL;
    reader->stream = NULL;
}
