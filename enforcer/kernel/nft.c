/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs nft commands in this process, by libnftables. */
#include "enforcer/kernel/nft.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

/* libnftables says on stderr that it knows no extension for the xt target of the queue, once a rule. It names
 * the variable of the C library, which may be set (glibc manual, "Standard Streams"): our own lines go past
 * it. NULL: could not be done. */
static FILE *hush(FILE **kept)
{
    FILE *nowhere = fopen("/dev/null", "we");

    *kept = stderr;
    if (nowhere)
        stderr = nowhere;
    return nowhere;
}

static void unhush(FILE *nowhere, FILE *kept)
{
    if (!nowhere)
        return;
    stderr = kept;
    fclose(nowhere);
}

/* Kept from run to run: with it its socket would be closed, and that may make bans wait (netlink.c). Not
 * after a dry run or a failure, because it then remembers what the kernel has not, nor after a long text, of
 * which it keeps all (740 MB for 500,000 prefixes). */
static struct nft_ctx *kept_nft;
#define KEEP_LEN (256 * 1024) /* bytes of commands */

static int run_in(struct nft_ctx *nft, const char *commands, bool dry, char **output, char **error)
{
    nft_ctx_buffer_output(nft);
    nft_ctx_buffer_error(nft);
    nft_ctx_set_dry_run(nft, dry);
    int failed = nft_run_cmd_from_buffer(nft, commands);
    if (failed && error)
        *error = strdup(nft_ctx_get_error_buffer(nft));
    if (!failed && output)
        *output = strdup(nft_ctx_get_output_buffer(nft));
    nft_ctx_unbuffer_output(nft);
    nft_ctx_unbuffer_error(nft);
    return failed ? -EINVAL : 0;
}

int enf_nft_run(const char *commands, bool dry, char **output, char **error)
{
    FILE *kept, *nowhere = hush(&kept);
    struct nft_ctx *nft = dry || !kept_nft ? nft_ctx_new(NFT_CTX_DEFAULT) : kept_nft;
    int err = nft ? run_in(nft, commands, dry, output, error) : -ENOMEM;
    bool keep = nft && !dry && err == 0 && !output && strlen(commands) < KEEP_LEN;

    if (!dry)
        kept_nft = keep ? nft : NULL;
    if (nft && !keep)
        nft_ctx_free(nft);
    unhush(nowhere, kept);
    return err;
}
