/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configurations that are refused, each with the whole of what it is told. */
#include "enforcer/config/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *name;
    const char *yaml;
    const char *errors; /* one a line, without the file's name and the colon behind it */
};

/* A group that is right, for rows about something else. */
#define TEN   "0123456789"
#define GROUP "groups: [{name: a, prefixes: [100.64.0.0/10], "

static const struct row yaml_rows[] = {
    {"nothing", "", "1: document: expected a mapping, found nothing\n"},
    {"only comments", "# one\n\n# two\n", "1: document: expected a mapping, found nothing\n"},
    {"a list", "- mode: observe\n", "1: document: expected a mapping, found a list\n"},
    {"a word", "\nobserve\n", "2: document: expected a mapping, found observe\n"},
    {"null", "---\n...\n", "2: document: expected a mapping, found nothing\n"},
    {"syntax, with its line", "mode: observe\ninterfaces: {subscriber: [eth1}\n",
     "2: document: expected valid YAML, found a fault: did not find expected ',' or ']' (while parsing a "
     "flow sequence "
     "that begins on line 2)\n"},
    {"syntax, without a context", "mode: a: b\n",
     "1: document: expected valid YAML, found a fault: mapping values are not allowed in this context\n"},
    {"no UTF-8", "mode: observe\nstate: /\xff\n",
     "2: document: expected valid YAML, found a fault: invalid leading UTF-8 octet\n"},
    {"a control byte", "mode: observe\n\nstate: /\x01\n",
     "3: document: expected valid YAML, found a fault: control characters are not allowed\n"},
    {"aliases", "relays: &r\n- addresses: [192.0.2.1]\nsmarthosts: *r\n",
     "1: document: expected no anchors, found &r\n3: document: expected no aliases, found *r\n"},
    {"a tag", "mode: !!str observe\n", "1: document: expected no tags, found tag:yaml.org,2002:str\n"},
    {"two documents", "mode: observe\n---\nmode: enforce\n",
     "2: document: expected one document, found a second one\n"},
    {"sixteen levels are let through to the table", "mode: [[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]\n",
     "1: mode: expected enforce or observe, found a list\n"},
    {"seventeen levels", "mode: [[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]\n",
     "1: document: expected at most 16 levels of nesting, found more\n"},
};

static const struct row shape_rows[] = {
    {"unknown key of the top", "moed: observe\n",
     "1: moed: expected the key mode, interfaces, relays, relay_policy, smarthosts, groups, detector, "
     "quarantine, inbound, "
     "antispoof, "
     "queue, control, events, hooks, report, aggregate, state or metrics, found an unknown one\n"},
    {"unknown key of a section", "queue:\n  count: 1\n  size: 5\n",
     "3: queue.size: expected the key first, count or fail, found an unknown one\n"},
    {"unknown key of an entry", "relays:\n- name: a\n  addresses: [192.0.2.1]\n  ownr: me\n",
     "4: relays[0].ownr: expected the key name, addresses, interface, owner, reason or expires, found an "
     "unknown one\n"},
    {"a key that is a list", "queue: {[a]: 1}\n",
     "1: queue.a list: expected the key first, count or fail, found an unknown one\n"},
    {"a key with a zero byte", "queue: {\"fail\\0\": open}\n",
     "1: queue.\"fail\\x00\": expected the key first, count or fail, found an unknown one\n"},
    {"a long key with an escape sequence",
     "queue: {\"\\e[31m0123456789012345678901234567890123456789012345678901234567890123456789\": 1}\n",
     "1: queue.\"\\x1b[31m0123456789012345678901234567890123456789012345678901234...\": expected the key "
     "first, count or "
     "fail, found an unknown one\n"},
    {"a key twice", "mode: observe\nstate: /a\nmode: enforce\n",
     "3: mode: expected each key once, found it a second time (first on line 1)\n"},
    {"a mapping for a list", "groups:\n  a: 1\n", "2: groups: expected a list of groups, found a mapping\n"},
    {"nothing for a list", "groups:\nmode: observe\n",
     "1: groups: expected a list of groups, found nothing\n"},
    {"a word for a mapping", "quarantine: off\n", "1: quarantine: expected a mapping, found off\n"},
    {"a word for an entry", "smarthosts: [a]\n", "1: smarthosts[0]: expected a mapping, found a\n"},
    {"a list for a word", "mode: [observe]\n", "1: mode: expected enforce or observe, found a list\n"},
    {"a word for a list", "control: {viewers: noc}\n",
     "1: control.viewers: expected a list of users and @groups, found noc\n"},
    {"missing keys of an entry", "groups:\n- policy: block\n",
     "2: groups[0].name: expected a name, found no such key\n"
     "2: groups[0].prefixes: expected a list of prefixes, found no such key\n"},
    {"missing key of a window", GROUP "detector: {connection_rate: [{per: 1m}]}}]\n",
     "1: groups[0].detector.connection_rate[0].connections: expected a number of connections, found no such "
     "key\n"},
    {"too many windows",
     "detector:\n  connection_rate: [{connections: 1, per: 1m}, {connections: 2, per: 2m},\n"
     "    {connections: 3, per: 3m}, {connections: 4, per: 4m}, {connections: 5, per: 5m}]\n",
     "2: detector.connection_rate: expected at most 4 entries, found 5\n"},
    {"too many steps",
     "quarantine: {escalation: [1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h, 1h]}\n",
     "1: quarantine.escalation: expected at most 16 entries, found 17\n"},
    {"no addresses", "relays: [{name: a, addresses: []}]\n",
     "1: relays[0].addresses: expected a list of addresses and prefixes, found none\n"},
};

static const struct row value_rows[] = {
    {"metrics", "metrics: {listen: 127.0.0.1}\n",
     "1: metrics.listen: expected an address and a port, as 127.0.0.1:9825 or \"[::1]:9825\", found "
     "127.0.0.1\n"},
    {"metrics: port", "metrics: {listen: 127.0.0.1:65536}\n",
     "1: metrics.listen: expected an address and a port, as 127.0.0.1:9825 or \"[::1]:9825\", found "
     "127.0.0.1:65536\n"},
    {"metrics: IPv6 without brackets", "metrics: {listen: \"2001:db8::1:9825\"}\n",
     "1: metrics.listen: expected an address and a port, as 127.0.0.1:9825 or \"[::1]:9825\", found "
     "\"2001:db8::1:9825\"\n"},
    {"mode", "mode: off\n", "1: mode: expected enforce or observe, found off\n"},
    {"policy", GROUP "policy: reject}]\n",
     "1: groups[0].policy: expected block, inspect or observe, found reject\n"},
    {"block_with", GROUP "block_with: rst}]\n",
     "1: groups[0].block_with: expected drop or reset, found rst\n"},
    {"addresses", GROUP "addresses: null}]\n",
     "1: groups[0].addresses: expected static or dynamic, found null\n"},
    {"antispoof", "antispoof: loose\n", "1: antispoof: expected strict, groups or off, found loose\n"},
    {"fail", "queue: {fail: safe}\n", "1: queue.fail: expected closed or open, found safe\n"},
    {"bool as other YAML has it", "inbound: {stateless: yes}\n",
     "1: inbound.stateless: expected true or false, found yes\n"},
    {"bool as text", "inbound: {stateless: \"true\"}\n",
     "1: inbound.stateless: expected true or false, found \"true\"\n"},
    {"number as text", "queue: {first: \"5\"}\n",
     "1: queue.first: expected a whole number from 0 to 65535, found \"5\"\n"},
    {"number above", "queue: {first: 65536}\n",
     "1: queue.first: expected a whole number from 0 to 65535, found 65536\n"},
    {"number below", "quarantine: {max_entries: 0}\n",
     "1: quarantine.max_entries: expected a whole number from 1 to 1900000, found 0\n"},
    {"number far above", "detector: {max_subscribers: 99999999999999999999}\n",
     "1: detector.max_subscribers: expected a whole number from 1 to 20000000, found 99999999999999999999\n"},
    {"number below zero", "queue: {first: -1}\n",
     "1: queue.first: expected a whole number from 0 to 65535, found -1\n"},
    {"number with a fraction", "queue: {first: 1.0}\n",
     "1: queue.first: expected a whole number from 0 to 65535, found 1.0\n"},
    {"number as octal", "queue: {first: 010}\n",
     "1: queue.first: expected a whole number from 0 to 65535, found 010\n"},
    {"prefix length below", GROUP "subscriber_prefix_v6: 31}]\n",
     "1: groups[0].subscriber_prefix_v6: expected a whole number from 32 to 128, found 31\n"},
    {"prefix length above", GROUP "subscriber_prefix_v6: 129}]\n",
     "1: groups[0].subscriber_prefix_v6: expected a whole number from 32 to 128, found 129\n"},
    {"duration of zero", "quarantine: {duration: 0s}\n",
     "1: quarantine.duration: expected a duration from 1s to 3650d, like 30s, 10m, 1h or 7d, found 0s\n"},
    {"duration without a unit", "aggregate: 60\n",
     "1: aggregate: expected a duration from 1s to 1d, like 30s, 10m, 1h or 7d, found 60\n"},
    {"duration too long", "quarantine: {memory: 3651d}\n",
     "1: quarantine.memory: expected a duration from 1s to 3650d, like 30s, 10m, 1h or 7d, found 3651d\n"},
    {"window too long", "detector: {distinct_destinations: {count: 5, per: 8d}}\n",
     "1: detector.distinct_destinations.per: expected a duration from 1s to 7d, like 30s, 10m, 1h or 7d, "
     "found 8d\n"},
    {"zero in a window", "detector: {connection_rate: [{connections: 0, per: 0s}]}\n",
     "1: detector.connection_rate[0].connections: expected a whole number from 1 to 100000, found 0\n"
     "1: detector.connection_rate[0].per: expected a duration from 1s to 7d, like 30s, 10m, 1h or 7d, found "
     "0s\n"},
    {"not a limit of destinations", "detector: {distinct_destinations: 15}\n",
     "1: detector.distinct_destinations: expected {count, per}, or null for none, found 15\n"},
    {"bad addresses",
     "relays:\n- name: a\n  addresses: [192.0.2.256, mx.example.net,\n    \"2001:db8::/129\", null]\n",
     "3: relays[0].addresses[0]: expected an address or a prefix, found 192.0.2.256\n"
     "3: relays[0].addresses[1]: expected an address or a prefix, found mx.example.net\n"
     "4: relays[0].addresses[2]: expected an address or a prefix, found \"2001:db8::/129\"\n"
     "4: relays[0].addresses[3]: expected an address or a prefix, found null\n"},
    {"host bits", "quarantine: {never: [192.0.2.77/24, \"2001:db8::1/64\"]}\n",
     "1: quarantine.never[0]: expected no bits set beyond the length (192.0.2.0/24), found 192.0.2.77/24\n"
     "1: quarantine.never[1]: expected no bits set beyond the length (2001:db8::/64), found "
     "\"2001:db8::1/64\"\n"},
    {"all of IPv4 in IPv6", "quarantine: {never: [\"::ffff:10.0.0.0/104\", \"::ffff:0:0/96\"]}\n",
     "1: quarantine.never[1]: expected an address or a prefix, found \"::ffff:0:0/96\"\n"},
    {"a prefix as trap", "detector: {traps: [203.0.113.0/24]}\n",
     "1: detector.traps[0]: expected an address, found 203.0.113.0/24\n"},
    {"interface names",
     "interfaces:\n  subscriber: [\"\", \"*\", \"pp*0\", \"a/b\", \"a b\", 'a\"b', \"a:b\", \".\"]\n",
     "2: interfaces.subscriber[0]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "\"\"\n"
     "2: interfaces.subscriber[1]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "\"*\"\n"
     "2: interfaces.subscriber[2]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "\"pp*0\"\n"
     "2: interfaces.subscriber[3]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "\"a/b\"\n"
     "2: interfaces.subscriber[4]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "\"a b\"\n"
     "2: interfaces.subscriber[5]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "\"a\"b\"\n"
     "2: interfaces.subscriber[6]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "\"a:b\"\n"
     "2: interfaces.subscriber[7]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "\".\"\n"},
    {"an interface of sixteen bytes", "interfaces: {upstream: [a123456789012345]}\n",
     "1: interfaces.upstream[0]: expected an interface name of at most 15 bytes (`*` may end it), found "
     "a123456789012345\n"},
    {"a relay behind a wildcard", "relays: [{name: a, addresses: [192.0.2.1], interface: \"eth*\"}]\n",
     "1: relays[0].interface: expected an interface name of at most 15 bytes (without `*`), found "
     "\"eth*\"\n"},
    {"group names",
     "groups:\n- {name: Business, prefixes: [192.0.2.0/24]}\n- {name: 5, prefixes: [198.51.100.0/24]}\n"
     "- {name: a1234567890123456789012345678901, prefixes: [203.0.113.0/24]}\n",
     "2: groups[0].name: expected a name of at most 31 bytes of a-z, 0-9, _ and -, a letter first, found "
     "Business\n"
     "3: groups[1].name: expected a name of at most 31 bytes of a-z, 0-9, _ and -, a letter first, found 5\n"
     "4: groups[2].name: expected a name of at most 31 bytes of a-z, 0-9, _ and -, a letter first, found "
     "a1234567890123456789012345678901\n"},
    {"relay name", "relays: [{name: mx out, addresses: [192.0.2.1]}]\n",
     "1: relays[0].name: expected a name of at most 31 letters, digits, `.`, `_` and `-`, a letter or digit "
     "first, found "
     "mx out\n"},
    {"users", "control: {admins: [\"@\", a b, \"\"]}\n",
     "1: control.admins[0]: expected a user, or a group after `@`, of at most 31 bytes, found \"@\"\n"
     "1: control.admins[1]: expected a user, or a group after `@`, of at most 31 bytes, found a b\n"
     "1: control.admins[2]: expected a user, or a group after `@`, of at most 31 bytes, found \"\"\n"},
    {"paths", "state: var/lib\ncontrol: {socket: \"\"}\ninbound: {bogons: \"a\\nb\"}\n",
     "1: state: expected an absolute path of at most 255 bytes, found var/lib\n"
     "2: control.socket: expected an absolute path of at most 107 bytes, found \"\"\n"
     "3: inbound.bogons: expected a path of at most 255 bytes, found \"a\\x0ab\"\n"},
    {"socket path of 108 bytes",
     "control: {socket: /23456789" TEN TEN TEN TEN TEN TEN TEN TEN TEN "012345678}\n",
     "1: control.socket: expected an absolute path of at most 107 bytes, found "
     "/23456789" TEN TEN TEN TEN TEN "0...\n"},
    {"event sink", "events: [{type: pipe, path: a}]\n",
     "1: events[0].type: expected file, syslog or unix, found pipe\n"
     "1: events[0].path: expected an absolute path of at most 255 bytes, found a\n"},
};

#define FALSE_RANGE  "false convictions a subscriber and day from 0.000000000001 to 0.1, like 0.000001"
#define MISSED_RANGE "a share of zombies missed from 0.000001 to 0.5, like 0.01"
#define SEQUENTIAL(false_conviction, missed)                                                                 \
    "detector: {sequential: {false_conviction: " false_conviction ", missed: " missed "}}\n"

static const struct row sequential_rows[] = {
    {"missing keys", "detector:\n  sequential: {missed: 0.01}\n",
     "2: detector.sequential.false_conviction: expected the false convictions a subscriber and day, found no "
     "such key\n"},
    {"no section", GROUP "detector: {sequential: []}}]\n",
     "1: groups[0].detector.sequential: expected {false_conviction, missed}, or null for no such test, found "
     "a list\n"},
    {"just below both", SEQUENTIAL("0.00000000000099", "0.00000099"),
     "1: detector.sequential.false_conviction: expected " FALSE_RANGE ", found 0.00000000000099\n"
     "1: detector.sequential.missed: expected " MISSED_RANGE ", found 0.00000099\n"},
    {"just above both", SEQUENTIAL("0.10000001", "0.50000001"),
     "1: detector.sequential.false_conviction: expected " FALSE_RANGE ", found 0.10000001\n"
     "1: detector.sequential.missed: expected " MISSED_RANGE ", found 0.50000001\n"},
    {"zero and one", SEQUENTIAL("0", "1"),
     "1: detector.sequential.false_conviction: expected " FALSE_RANGE ", found 0\n"
     "1: detector.sequential.missed: expected " MISSED_RANGE ", found 1\n"},
    {"no numbers", SEQUENTIAL("1e", "0x0.1"),
     "1: detector.sequential.false_conviction: expected " FALSE_RANGE ", found 1e\n"
     "1: detector.sequential.missed: expected " MISSED_RANGE ", found 0x0.1\n"},
    {"no numbers either", SEQUENTIAL("nan", "-0.01"),
     "1: detector.sequential.false_conviction: expected " FALSE_RANGE ", found nan\n"
     "1: detector.sequential.missed: expected " MISSED_RANGE ", found -0.01\n"},
};

static const struct row replies_rows[] = {
    {"replies below", "detector: {unrequested_replies: {count: 0, per: 1m}}\n",
     "1: detector.unrequested_replies.count: expected a whole number from 1 to 64, found 0\n"},
    {"replies above", "detector: {unrequested_replies: {count: 65, per: 8d}}\n",
     "1: detector.unrequested_replies.count: expected a whole number from 1 to 64, found 65\n"
     "1: detector.unrequested_replies.per: expected a duration from 1s to 7d, like 30s, 10m, 1h or 7d, found "
     "8d\n"},
    {"replies without keys", "detector: {unrequested_replies: {convicts: maybe}}\n",
     "1: detector.unrequested_replies.convicts: expected true or false, found maybe\n"
     "1: detector.unrequested_replies.count: expected a number of replies, found no such key\n"
     "1: detector.unrequested_replies.per: expected a duration, found no such key\n"},
    {"replies as a number", "detector: {unrequested_replies: 3}\n",
     "1: detector.unrequested_replies: expected {count, per, convicts}, or null for none, found 3\n"},
};

static const struct row later_rows[] = {
    {"a quarantine that answers otherwise", "quarantine: {block_with: reject}\n",
     "1: quarantine.block_with: expected drop or reset, found reject\n"},
    {"throttle without a time", "quarantine: {throttle: {connections: 0}}\n",
     "1: quarantine.throttle.connections: expected a whole number from 1 to 1000, found 0\n"
     "1: quarantine.throttle.per: expected a duration, found no such key\n"},
    {"level that nobody knows", "quarantine: {level: none}\n",
     "1: quarantine.level: expected throttle, smtp or full, found none\n"},
    {"portal without addresses to redirect to", "quarantine: {portal: [192.0.2.0/28], redirect: dnat}\n",
     "1: quarantine.redirect: expected none, or an address (no prefix) in quarantine.portal to redirect to, "
     "found dnat without one\n"},
    {"tproxy without a port", "quarantine: {redirect: tproxy}\n",
     "1: quarantine.redirect: expected none or dnat, or quarantine.tproxy to be given, found tproxy without "
     "it\n"},
    {"ports to redirect", "quarantine: {redirect_ports: [0, 65536, 80]}\n",
     "1: quarantine.redirect_ports[0]: expected a whole number from 1 to 65535, found 0\n"
     "1: quarantine.redirect_ports[1]: expected a whole number from 1 to 65535, found 65536\n"},
    {"portal without TLS", "quarantine: {portal_url: 'http://portal.example.net/'}\n",
     "1: quarantine.portal_url: expected a URL that begins with https://, of at most 255 bytes, found "
     "\"http://portal.example.net/\"\n"},
    {"a URL that ends a string", "quarantine: {venue_info_url: 'https://a/\"'}\n",
     "1: quarantine.venue_info_url: expected a URL that begins with https://, of at most 255 bytes, found "
     "\"https://a/\"\"\n"},
    {"steps with levels",
     "quarantine:\n  escalation:\n  - 1h\n  - {level: worse, for: 0s}\n  - {level: full}\n",
     "4: quarantine.escalation[1].level: expected throttle, smtp or full, found worse\n"
     "4: quarantine.escalation[1].for: expected a duration from 1s to 3650d, like 30s, 10m, 1h or 7d, found "
     "0s\n"
     "5: quarantine.escalation[2].for: expected a duration, found no such key\n"},
    {"expiry", "relays: [{addresses: [192.0.2.1], expires: 2027-02-30}]\n",
     "1: relays[0].expires: expected a date like 2027-01-31, or a time like 2027-01-31T12:00:00Z, found "
     "2027-02-30\n"},
    {"canary that is negative", GROUP "canary_percent: -1}]\n",
     "1: groups[0].canary_percent: expected a whole number from 0 to 100, found -1\n"},
    {"canary that is none", GROUP "canary_percent: 101}]\n",
     "1: groups[0].canary_percent: expected a whole number from 0 to 100, found 101\n"},
    {"queues", "queue: {count: 17}\n", "1: queue.count: expected a whole number from 1 to 16, found 17\n"},
    {"queue numbers", "queue: {first: 65535, count: 2}\n",
     "1: queue.first: expected queue.first and the 1 queues behind it to be at most 65535, found 65535\n"},
};

static const struct row together_rows[] = {
    {"antispoof without interfaces", "antispoof: strict\ninterfaces: {upstream: [eth0]}\n",
     "1: antispoof: expected off, or interfaces.subscriber to be given, found strict without it\n"},
    {"antispoof with an empty list", "interfaces: {subscriber: []}\nantispoof: groups\n",
     "2: antispoof: expected off, or interfaces.subscriber to be given, found groups without it\n"},
    {"one interface twice", "interfaces:\n  subscriber: [eth1,\n    eth1]\n",
     "3: interfaces.subscriber[1]: expected each interface once, found eth1, which meets eth1 of "
     "interfaces.subscriber[0]\n"},
    {"wildcard and name", "interfaces:\n  subscriber: [ppp0, \"ppp*\"]\n",
     "2: interfaces.subscriber[1]: expected each interface once, found ppp*, which meets ppp0 of "
     "interfaces.subscriber[0]\n"},
    {"wildcard and wildcard", "interfaces:\n  subscriber: [\"ppp*\", \"pp*\"]\n",
     "2: interfaces.subscriber[1]: expected each interface once, found pp*, which meets ppp* of "
     "interfaces.subscriber[0]\n"},
    {"both sides", "interfaces:\n  upstream: [eth0, ppp1]\n  subscriber: [\"ppp*\"]\n",
     "2: interfaces.upstream[1]: expected each interface once, found ppp1, which meets ppp* of "
     "interfaces.subscriber[0]\n"},
    {"group names",
     "groups:\n- {name: a, prefixes: [192.0.2.0/25]}\n- {name: a, prefixes: [192.0.2.128/25]}\n",
     "3: groups[1].name: expected a name of its own, found a, which is also groups[0].name\n"},
    {"group names in nft",
     "groups:\n- {name: a-b, prefixes: [192.0.2.0/25]}\n- {name: a_b, prefixes: [192.0.2.128/25]}\n",
     "3: groups[1].name: expected a name that differs in more than - and _, found a_b beside a-b of "
     "groups[0]\n"},
    {"groups with one prefix",
     "groups:\n- name: a\n  prefixes: [10.0.0.0/8]\n- name: b\n  prefixes:\n  - 192.0.2.0/24\n"
     "  - 10.0.0.0/8\n",
     "7: groups[1].prefixes[1]: expected each prefix once, found 10.0.0.0/8, which is also "
     "groups[0].prefixes[0]\n"},
    {"relays with one prefix", "relays:\n- addresses: [192.0.2.1]\n- addresses: [192.0.2.1]\n",
     "3: relays[1].addresses[0]: expected each prefix once, found 192.0.2.1, which is also "
     "relays[0].addresses[0]\n"},
    {"smarthosts with one prefix", "smarthosts: [{addresses: [192.0.2.1, 192.0.2.1/32]}]\n",
     "1: smarthosts[0].addresses[1]: expected each prefix once, found 192.0.2.1, which is also "
     "smarthosts[0].addresses[0]\n"},
    {"prefix longer than a subscriber",
     "groups:\n- name: a\n  subscriber_prefix_v6: 56\n  prefixes: [\"2001:db8::/57\"]\n",
     "4: groups[0].prefixes[0]: expected at most /56, the group's subscriber_prefix_v6, found "
     "2001:db8::/57\n"},
    {"cut through a subscriber",
     "groups:\n- name: inner\n  prefixes: [\"2001:db8:0:1200::/57\", \"2001:db8:0:1300::/56\"]\n"
     "- name: outer\n  subscriber_prefix_v6: 56\n  prefixes: [\"2001:db8::/32\"]\n",
     "3: groups[0].prefixes[0]: expected at most /56, because groups[1].prefixes[0] around it has "
     "subscribers of that "
     "length, found 2001:db8:0:1200::/57\n"},
    {"relay in a group", GROUP "}]\nrelays:\n- name: a\n  addresses: [192.0.2.1, 100.64.0.25]\n",
     "3: relays[0].interface: expected the interface the relay is on, found no such key: 100.64.0.25 "
     "overlaps "
     "groups[0].prefixes[0], so the relay's address could otherwise come in by a subscriber interface\n"},
    {"relay around a group", GROUP "}]\nrelays:\n- addresses: [100.0.0.0/8]\n",
     "3: relays[0].interface: expected the interface the relay is on, found no such key: 100.0.0.0/8 "
     "overlaps "
     "groups[0].prefixes[0], so the relay's address could otherwise come in by a subscriber interface\n"},
    {"settings of nobody",
     GROUP "subscribers: {100.63.255.255: {}, 100.64.0.0: {}, 100.127.255.255: {}, 100.128.0.0: {},"
           " 100.0.0.0/8: {}}}]\n",
     "1: groups[0].subscribers[100.63.255.255]: expected an address or a prefix inside the group's prefixes, "
     "found "
     "100.63.255.255\n"
     "1: groups[0].subscribers[100.128.0.0]: expected an address or a prefix inside the group's prefixes, "
     "found "
     "100.128.0.0\n"
     "1: groups[0].subscribers[100.0.0.0/8]: expected an address or a prefix inside the group's prefixes, "
     "found "
     "100.0.0.0/8\n"},
    {"traps that are relays or smarthosts",
     "relays: [{addresses: [192.0.2.0/24], interface: eth2}]\n"
     "smarthosts: [{addresses: [198.51.100.1]}, {addresses: [203.0.113.0/25, \"2001:db8:5::/48\"]}]\n"
     "detector: {traps: [203.0.113.200, 192.0.2.7]}\n"
     "groups:\n- name: a\n  prefixes: [100.64.0.0/10]\n  detector: {traps: [203.0.113.127]}\n"
     "  subscribers:\n    100.64.7.1: {detector: {traps: [203.0.113.128, \"2001:db8:5::25\"]}}\n",
     "3: detector.traps[1]: expected an address that is no relay and no smarthost, found 192.0.2.7, which is "
     "in relays[0].addresses[0]\n"
     "7: groups[0].detector.traps[0]: expected an address that is no relay and no smarthost, found "
     "203.0.113.127, which is in smarthosts[1].addresses[0]\n"
     "9: groups[0].subscribers[100.64.7.1].detector.traps[1]: expected an address that is no relay and no "
     "smarthost, found 2001:db8:5::25, which is in smarthosts[1].addresses[1]\n"},
    {"settings of another group's subscriber",
     GROUP "subscribers: {100.64.7.1: {}}},\n  {name: b, prefixes: [100.64.7.0/24]}]\n",
     "1: groups[0].subscribers[100.64.7.1]: expected an address or a prefix of this group, found 100.64.7.1 "
     "of "
     "groups[1]\n"},
    {"settings of half a subscriber",
     "groups:\n- name: a\n  subscriber_prefix_v6: 56\n  prefixes: [\"2001:db8::/32\"]\n  subscribers:\n"
     "    \"2001:db8::/57\": {}\n",
     "6: groups[0].subscribers[\"2001:db8::/57\"]: expected a whole address or at most /56, one subscriber, "
     "found "
     "2001:db8::/57\n"},
    {"settings of one subscriber twice",
     "groups:\n- name: a\n  subscriber_prefix_v6: 56\n  prefixes: [\"2001:db8::/32\"]\n  subscribers:\n"
     "    \"2001:db8::1\": {}\n    \"2001:db8::2\": {}\n",
     "7: groups[0].subscribers[\"2001:db8::2\"]: expected each subscriber once, found 2001:db8::/56 a second "
     "time (first "
     "on line 6)\n"},
    {"settings under no address", GROUP "subscribers: {host: {detector: {traps: 5}}}}]\n",
     "1: groups[0].subscribers[host]: expected an address or a prefix, found host\n"
     "1: groups[0].subscribers[host].detector.traps: expected a list of addresses, found 5\n"},
    {"sinks: what does not fit the type",
     "events:\n- {type: file, path: /a, transport: udp, address: 192.0.2.1, port: 1, facility: auth}\n"
     "- {type: unix, port: 2}\n- {type: syslog, address: 192.0.2.1}\n"
     "- {type: syslog, transport: tcp, path: /a}\n",
     "2: events[0].transport: expected only with type syslog, found it without\n"
     "2: events[0].facility: expected only with type syslog, found it without\n"
     "2: events[0].address: expected only with transport udp or tcp, found it without\n"
     "2: events[0].port: expected only with transport udp or tcp, found it without\n"
     "3: events[1].path: expected an absolute path, found no such key\n"
     "3: events[1].port: expected only with transport udp or tcp, found it without\n"
     "4: events[2].address: expected only with transport udp or tcp, found it without\n"
     "5: events[3].path: expected only with transport local, found it without\n"
     "5: events[3].address: expected the receiver's address, found no such key\n"},
    {"sinks: values",
     "events:\n- {type: syslog, transport: tls, facility: mail, format: leef}\n"
     "- {type: syslog, transport: udp, address: loghost, port: 0}\n"
     "- {type: file, path: /a, actions: [], severity: 3}\n- {type: file, path: /b, actions: [quarantined, "
     "x]}\n",
     "2: events[0].transport: expected local, udp or tcp, found tls\n"
     "2: events[0].facility: expected daemon, auth, authpriv, local0, local1, local2, local3, local4, "
     "local5, "
     "local6 or local7, found mail\n"
     "2: events[0].format: expected ecs or cef, found leef\n"
     "3: events[1].address: expected an address, found loghost\n"
     "3: events[1].port: expected a whole number from 1 to 65535, found 0\n"
     "4: events[2].actions: expected a list of names of events, found a list\n"
     "4: events[2].severity: expected info, low, medium, high or critical, found 3\n"
     "5: events[3].actions[1]: expected the name of an event, like quarantined, found x\n"},
    {"sinks: one receiver twice",
     "events:\n- {type: syslog, transport: udp, address: \"2001:db8::1\"}\n"
     "- {type: syslog, transport: tcp, address: \"2001:db8::1\"}\n"
     "- {type: syslog, transport: udp, address: \"2001:db8:0::1\", port: 514, format: cef}\n"
     "- {type: syslog}\n- {type: syslog, path: /dev/log}\n",
     "4: events[2].address: expected a receiver of its own, found that of events[0]\n"
     "6: events[4].path: expected a receiver of its own, found that of events[3]\n"},
    {"hooks",
     "hooks:\n- {run: [/bin/a]}\n- {name: a, run: [a], severity: high}\n"
     "- {name: a, run: [], actions: [released, hook-failed]}\n"
     "- {name: b, run: /bin/a, severity: low, timeout: 6m}\n",
     "2: hooks[0].name: expected a name, found no such key\n"
     "2: hooks[0]: expected actions or severity, found neither\n"
     "3: hooks[1].run[0]: expected the absolute path of a program\n"
     "4: hooks[2].run: expected a program and its arguments, as a list, found none\n"
     "4: hooks[2].actions: expected events that hooks do not cause themselves, found hook-failed or "
     "hook-dropped\n"
     "4: hooks[2].name: expected a name of its own, found a, which is also hooks[1].name\n"
     "5: hooks[3].run: expected a program and its arguments, as a list, found /bin/a\n"
     "5: hooks[3].timeout: expected a duration from 1s to 5m, like 30s, 10m, 1h or 7d, found 6m\n"},
    {"report", "report: {organisation: \"\", contact: \"a b@example.net\", domain: \"-x\"}\n",
     "1: report.organisation: expected the name of an organisation of at most 200 bytes, found \"\"\n"
     "1: report.contact: expected a mail address, like abuse@example.net, found \"a b@example.net\"\n"
     "1: report.domain: expected a domain name, like example.net, found \"-x\"\n"},
    {"report: all of it", "report: {domain: example.net}\n",
     "1: report.organisation: expected the name of an organisation, found no such key\n"
     "1: report.contact: expected a mail address, found no such key\n"},
    {"two sinks, one file", "events:\n- {type: file, path: /a}\n- {type: file, path: /a}\n",
     "3: events[1].path: expected a file of its own, found that of events[0]\n"},
    {"max_subscribers of a group", GROUP "detector: {max_subscribers: 5}}]\n",
     "1: groups[0].detector.max_subscribers: expected the key connection_rate, distinct_destinations, traps, "
     "sequential "
     "or unrequested_replies, found an unknown one\n"},
    {"all errors at once, by line, of every kind",
     "state: relative\n"
     "groups:\n"
     "- name: a\n"
     "  prefixes: [10.0.0.0/8]\n"
     "- name: a\n"
     "  prefixes: [10.0.0.0/8, 10.0.0.0/33]\n"
     "  policy: reject\n"
     "quarantine: {level: full, memroy: 1d}\n"
     "relays:\n"
     "- addresses: [10.1.1.1]\n"
     "antispoof: strict\n"
     "mode: 1\n",
     "1: state: expected an absolute path of at most 255 bytes, found relative\n"
     "5: groups[1].name: expected a name of its own, found a, which is also groups[0].name\n"
     "6: groups[1].prefixes[1]: expected an address or a prefix, found 10.0.0.0/33\n"
     "6: groups[1].prefixes[0]: expected each prefix once, found 10.0.0.0/8, which is also "
     "groups[0].prefixes[0]\n"
     "7: groups[1].policy: expected block, inspect or observe, found reject\n"
     "8: quarantine.memroy: expected the key automatic, level, duration, escalation, memory, max_entries, "
     "governor, "
     "never, throttle, block_with, portal, lifeline, resolvers, redirect, redirect_ports, tproxy, "
     "portal_url, "
     "venue_info_url or self_release, found an unknown one\n"
     "10: relays[0].interface: expected the interface the relay is on, found no such key: 10.1.1.1 overlaps "
     "groups[1].prefixes[0], so the relay's address could otherwise come in by a subscriber interface\n"
     "11: antispoof: expected off, or interfaces.subscriber to be given, found strict without it\n"
     "12: mode: expected enforce or observe, found 1\n"},
};

/* All lines, each without "FILE:". */
static char *join(const struct enf_config_errors *errors, const char *file)
{
    char *all = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&all, &size);

    assert_non_null(out);
    for (size_t i = 0; i < errors->len; i++) {
        assert_int_equal(strncmp(errors->lines[i], file, strlen(file)), 0);
        fprintf(out, "%s\n", errors->lines[i] + strlen(file) + 1);
    }
    fclose(out);
    return all;
}

static void run(const struct row *rows, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct enf_config_errors errors;
        struct enf_config *config = NULL;
        int ret = enf_config_parse("bad.yaml", rows[i].yaml, strlen(rows[i].yaml), &config, &errors);
        char *found = join(&errors, "bad.yaml");

        if (ret != -EINVAL || config != NULL || strcmp(found, rows[i].errors) != 0)
            fail_msg("%s: returned %d\n%s-- expected:\n%s", rows[i].name, ret, found, rows[i].errors);
        free(found);
        enf_config_errors_clear(&errors);
    }
}

#define RUN(rows) run(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_yaml(void **state)
{
    (void)state;
    RUN(yaml_rows);
}

static void test_shape(void **state)
{
    (void)state;
    RUN(shape_rows);
}

static void test_values(void **state)
{
    (void)state;
    RUN(value_rows);
}

static void test_later(void **state)
{
    (void)state;
    RUN(sequential_rows);
    RUN(replies_rows);
    RUN(later_rows);
}

static void test_together(void **state)
{
    (void)state;
    RUN(together_rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),  cmocka_unit_test(test_shape),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_later), cmocka_unit_test(test_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
