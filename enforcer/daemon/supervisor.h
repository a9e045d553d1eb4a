/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A word to the program that started the daemon, where it wants one: the protocol of sd_notify(3), a datagram
 * of "KEY=value" lines to the socket that the variable NOTIFY_SOCKET names. */
#pragma once

struct enf_daemon;

/* Connects, while every socket can still be reached. Where nobody waits for a word, or the socket is not
 * there, nothing is told; a message says the latter. */
void enf_supervisor_open(struct enf_daemon *d);
/* Lines without a newline at the end: "READY=1\nSTATUS=…". Never blocks. */
void enf_supervisor_tell(const struct enf_daemon *d, const char *lines);
void enf_supervisor_close(struct enf_daemon *d);
