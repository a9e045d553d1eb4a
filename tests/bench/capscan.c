/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that a program reading a capture with libpcap can do: `capscan FILE` counts the packets, and
 * those of Ethernet, IPv4, TCP with port 25. What enforcer-replay is compared with. */
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = argc == 2 ? pcap_open_offline(argv[1], error) : NULL;
    struct pcap_pkthdr *header;
    const u_char *bytes;
    uint64_t packets = 0, port25 = 0;
    if (!pcap)
        return 1;
    while (pcap_next_ex(pcap, &header, &bytes) == 1) {
        packets++;
        if (header->caplen < 54 || bytes[12] != 8 || bytes[13] != 0 || bytes[23] != 6)
            continue;
        const u_char *tcp = bytes + 14 + (bytes[14] & 15) * 4;
        if (tcp + 4 <= bytes + header->caplen &&
            ((tcp[0] == 0 && tcp[1] == 25) || (tcp[2] == 0 && tcp[3] == 25)))
            port25++;
    }
    pcap_close(pcap);
    printf("%llu packets, %llu of port 25\n", (unsigned long long)packets, (unsigned long long)port25);
    return 0;
}
