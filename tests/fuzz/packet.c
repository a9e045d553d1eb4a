/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a captured frame: the first byte says of which link layer, odd ones that the rest is an IP
 * packet. */
#include "enforcer/inspect/packet.h"
#include "enforcer/inspect/link.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *ip, size_t len)
{
    struct enf_packet packet;
    enum enf_packet_result result = enf_packet_parse(ip, len, &packet);
    if (result == ENF_PACKET_OK && (!packet.has_flags || packet.payload_captured_len > packet.payload_len))
        abort();
    if (packet.has_flags && !packet.has_ports)
        abort();
    if (enf_packet_is_connection(&packet) && !enf_packet_is_smtp(&packet))
        abort();
    if (!packet.payload)
        return;
    if (packet.payload < ip || packet.payload + packet.payload_captured_len > ip + len)
        abort();
    volatile uint8_t sum = 0;
    for (uint32_t i = 0; i < packet.payload_captured_len; i++)
        sum = (uint8_t)(sum + packet.payload[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1) {
        check(data + 1, size - 1);
        return 0;
    }
    size_t offset = 0;
    enum enf_link link = (enum enf_link)((data[0] >> 1) % (ENF_LINK_HDLC + 1));
    if (enf_link_find_ip(link, data + 1, size - 1, &offset) != ENF_LINK_OK)
        return 0;
    if (offset >= size - 1)
        abort();
    check(data + 1 + offset, size - 1 - offset);
    return 0;
}
