/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of the file's top level, as one table. */
#pragma once

#include "enforcer/config/draft.h"

/* Fills what the file may leave out. */
void enf_options_defaults(struct enf_reader *reader, struct enf_draft *draft);
/* Reads the whole document into the draft and reports what is wrong in any of its values. */
void enf_options_read(struct enf_reader *reader, struct enf_draft *draft);
