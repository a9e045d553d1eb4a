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
    nft_ctx_free(nft);
    return failed ? -EINVAL : 0;
}

int enf_nft_run(const char *commands, bool dry, char **output, char **error)
{
    FILE *kept, *nowhere = hush(&kept);
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    int err = nft ? run_in(nft, commands, dry, output, error) : -ENOMEM;

    unhush(nowhere, kept);
    return err;
}
